"""pithead.classes: the class list."""

from pathlib import Path

import pytest

from pithead.classes import ClassInfo, ClassList, load_classes
from pithead.errors import ClassesError, PitheadError

ROOT = Path(__file__).parents[1]
GOOD = """
[[class]]
name = "coal_heap"
geometry = "box"
colour = "#ffe119"
smallest_m = 8
definition = "A heap."
"""


def test_the_list_of_the_project() -> None:
    classes = load_classes(ROOT / "labeling" / "classes.toml")
    assert classes.names == ("mine_head", "coal_heap", "guard_perimeter", "rail_loading")
    assert classes.line_ids == {2}
    assert [c.id for c in classes] == [0, 1, 2, 3]
    assert classes.named("rail_loading") == classes[3]
    assert len(classes) == 4
    assert [c.largest_m for c in classes] == [400, 600, 20_000, 2_500]


def test_an_integer_size_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(GOOD)
    assert load_classes(path) == ClassList((ClassInfo(0, "coal_heap", "box", "#ffe119", 8.0, "A heap."),))


def test_a_largest_size_may_be_given(tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(GOOD + "largest_m = 600\n")
    assert load_classes(path)[0].largest_m == 600
    path.write_text(GOOD)
    assert load_classes(path)[0].largest_m is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds"),
        ("class = []", "at least one"),
        ("[[class]", "TOML"),
        (GOOD + GOOD, "differ"),
        (GOOD + "\n[other]\n", "only"),
        (GOOD.replace("colour", "color"), "color"),
        (GOOD.replace('"box"', '"circle"'), "geometry"),
        (GOOD.replace("#ffe119", "yellow"), "rrggbb"),
        (GOOD.replace("= 8", "= -1"), "smallest_m"),
        (GOOD.replace("= 8", "= true"), "number"),
        (GOOD + "largest_m = 8\n", "largest_m"),
        (GOOD + 'largest_m = "8"\n', "number"),
        (GOOD.replace("coal_heap", "none"), "name"),
        (GOOD.replace('"A heap."', "7"), "text"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(ClassesError, match=says):
        load_classes(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ClassesError, match="cannot be read"):
        load_classes(tmp_path / "no.toml")


def test_an_unknown_name_is_a_value_error_too() -> None:
    classes = load_classes(ROOT / "labeling" / "classes.toml")
    with pytest.raises(ValueError, match="headframe"):
        classes.named("headframe")
    with pytest.raises(PitheadError):
        classes.named("")
