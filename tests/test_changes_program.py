"""Two weights of an archive compared: sides by name and hash, four files or none, a page, and a gate."""

import base64
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from PIL import Image
from test_scan import write_scene

from pithead.card import Card
from pithead.catalog import Entry
from pithead.changes import Side
from pithead.changes.archive import portions, said_by, said_in
from pithead.changes.chips import NEW, OLD
from pithead.changes.sides import Asked, sides_of, weights_in
from pithead.detections import Coverage, Detections, SceneLine
from pithead.errors import OptionError, WeightsError
from pithead.files import sha256_of
from pithead.imagery import open_scene
from pithead.rescore import Archive, Options
from pithead.review import Decision, Review, give
from pithead.store import RunRecord, rows_of
from pithead.tiling import Grid
from pithead.vectors import Origin, layers

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "inference" / "compare.py"
SIDE_PX, GSD_M = 400, 0.6
HEAP, FENCE = 1, 2
PLAIN = Options()

Box = tuple[float, float, float]  # x, y in scene px, score; 50 px (30 m) wide and high


@pytest.fixture
def card(card_json: str) -> Card:
    return Card.from_json(card_json)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Three scenes of two sites, nothing scored yet."""
    made = Archive.open(tmp_path / "archive", make=True)
    for i in range(3):
        data = np.full((SIDE_PX, SIDE_PX, 3), 90 + i, np.uint8)
        made.catalog.add(
            [write_scene(tmp_path / f"scene{i}.tif", data)], site="Camp 9" if i < 2 else "Camp 15"
        )
    return made


def found(boxes: Sequence[Box], fences: Sequence[Sequence[tuple[float, float]]]) -> Detections:
    corners = [[[x, y], [x + 50, y], [x + 50, y + 50], [x, y + 50]] for x, y, _ in boxes]
    return Detections(
        corners_scene=np.array(corners, np.float64).reshape(-1, 4, 2),
        scores=np.array([score for *_, score in boxes], np.float32),
        classes=np.full(len(boxes), HEAP, np.int64),
        tiles=((0,),) * len(boxes),
        lines=tuple(
            SceneLine(np.array(fence, float), closed=False, score=0.8, class_id=FENCE, spans=9)
            for fence in fences
        ),
        grid=Grid(SIDE_PX, SIDE_PX, 1.0, 1.0, 256, 64),
        coverage=Coverage(run=4),
        valid_px=SIDE_PX**2,
    )


def put(
    archive: Archive,
    card: Card,
    entry: Entry,
    weights: str,
    boxes: Sequence[Box],
    fences: Sequence[Sequence[tuple[float, float]]] = (),
    options: Options = PLAIN,
    name: str = "",
) -> None:
    """Store what weights found in a scene, as a run would."""
    with open_scene(entry.href) as scene:
        origin = Origin(entry.id, entry.sha256, weights)
        rows = rows_of(
            layers(found(boxes, fences), scene, card, origin), scene, origin,
            scene_id=entry.id, options_sha256=options.sha256, acquired=None,
            site_of=lambda _: entry.sites[0],
        )  # fmt: skip
    counts = {known.name: int((rows["class"] == known.name).sum()) for known in card.classes}
    record = RunRecord(
        scene=entry.id, scene_sha256=entry.sha256, weights_sha256=weights,
        weights=name or f"heaps-{weights[0]}", options_sha256=options.sha256, options=options.table,
        site=entry.sites[0], sites=entry.sites, version="0.1.0", host="here",
        started="2026-03-01T12:00:00.000+00:00", seconds=1.0, tiles={"run": 4}, valid_km2=0.0576,
        counts=counts,
    )  # fmt: skip
    archive.store.put(record, rows)


A, B = "a" * 64, "b" * 64


@pytest.fixture
def scored(archive: Archive, card: Card) -> Archive:
    """Scene 0: one heap kept, one lost, one gained, one moved by 12 m, a fence that lost its second half.

    Scene 1 is unchanged but for a score, scene 2 was scored by the old weights only.
    """
    entries = sorted(archive.catalog.scenes(), key=lambda entry: entry.href)
    put(
        archive, card, entries[0], A, [(20, 20, 0.9), (120, 20, 0.8), (220, 20, 0.7)],
        [[(20.0, 300.0), (380.0, 300.0)]],
    )  # fmt: skip
    put(
        archive, card, entries[0], B, [(20, 20, 0.9), (240, 20, 0.7), (20, 120, 0.6)],
        [[(20.0, 300.0), (200.0, 300.0)]],
    )  # fmt: skip
    put(archive, card, entries[1], A, [(20, 20, 0.9)])
    put(archive, card, entries[1], B, [(20, 20, 0.6)])
    put(archive, card, entries[2], A, [(20, 20, 0.9)])
    return archive


def review(archive: Archive, nth: int, decision: Decision, **more: str) -> None:
    """Review the nth surest heap that the old weights gave of scene 0."""
    first = min(archive.catalog.scenes(), key=lambda entry: entry.href)
    rows = archive.store.detections(weights=A, scenes=[first.id], classes=["coal_heap"])
    row = rows.iloc[nth]
    told = Review(
        detection=row["detection"], scene_sha256=first.sha256, class_name="coal_heap", decision=decision,
        reviewer="ann", geometry=row.geometry, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    give(archive.log, told)


def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_program", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def compared(archive: Archive, out: Path, *options: str) -> int:
    """Run the program in this process, and give its exit status."""
    arguments = [str(archive.folder), "--old", "heaps-a", "--new", "heaps-b", "--out", str(out), *options]
    try:
        program().app(arguments, exit_on_error=False, print_error=False)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


# --- sides


def sides(archive: Archive, old: str | Asked, new: str | Asked) -> tuple[Side, Side]:
    pair = (one if isinstance(one, Asked) else Asked(one) for one in (old, new))
    return sides_of(archive.store, archive.log, *pair)


def chosen(archive: Archive, old: str, new: str) -> tuple[str, str]:
    """The first letters of the hashes of the weights that are meant."""
    first, second = sides(archive, old, new)
    return first.weights_sha256[0], second.weights_sha256[0]


def logged(archive: Archive, *weights: str) -> None:
    for sha256 in weights:
        archive.log.append("weights.registered", {"weights_sha256": sha256})


def test_weights_go_by_name_hash_and_file(scored: Archive, card: Card, tmp_path: Path) -> None:
    assert [(known.name, known.scenes) for known in weights_in(scored.store)] == [
        ("heaps-a", 3),
        ("heaps-b", 2),
    ]
    assert all("coal_heap" in known.classes for known in weights_in(scored.store))
    for asked in ("heaps-a", A, "aaaa"):
        assert chosen(scored, asked, "heaps-b") == ("a", "b")
    file = tmp_path / "some.onnx"
    file.write_bytes(b"weights")
    with pytest.raises(WeightsError, match=r"rescore\.py .*heaps-a \(aaaaaaaaaaaa, 3 scenes\), heaps-b"):
        sides(scored, "heaps-a", str(file))
    put(scored, card, scored.catalog.scenes()[0], sha256_of(file), [], name="heaps-a")
    assert sides(scored, "heaps-b", str(file))[1].weights_sha256 == sha256_of(file)
    # The name is that of two now, and one of them is named more clearly.
    assert chosen(scored, "heaps-a", str(file))[0] == "a"
    with pytest.raises(WeightsError, match="'heaps-a', which is 2 of them"):
        sides(scored, "heaps-a", "heaps-b")


def test_of_weights_with_one_name_the_last_two_are_meant(scored: Archive, card: Card) -> None:
    entry = scored.catalog.scenes()[0]
    for letter in "cde":
        put(scored, card, entry, letter * 64, [], name="starter")
    with pytest.raises(WeightsError, match="3 of them"):  # the log does not say which came last
        sides(scored, "starter", "starter")
    logged(scored, A, "d" * 64, "c" * 64, "e" * 64, B)
    assert chosen(scored, "starter", "starter") == ("c", "e")
    assert chosen(scored, "starter", "cccc") == ("d", "c")
    assert chosen(scored, "starter", "heaps-b") == ("e", "b")
    assert chosen(scored, "eeee", "starter") == ("e", "c")
    with pytest.raises(WeightsError, match="3 of them"):  # none of them came before
        sides(scored, "starter", "heaps-a")
    old, new = sides(scored, "starter", "starter")
    assert old.since is not None
    assert new.since is not None
    assert old.since <= new.since
    assert (old.turn, new.turn) == (2, 3)


@pytest.mark.parametrize("asked", ["heaps", "aaa", "c" * 64, "AAAA", ""])
def test_unknown_weights_list_the_known_ones(scored: Archive, asked: str) -> None:
    with pytest.raises(WeightsError, match=r"none of these.*heaps-a.*heaps-b"):
        sides(scored, asked, "heaps-b")


def test_an_empty_store_says_so(archive: Archive) -> None:
    with pytest.raises(WeightsError, match="no weights at all"):
        sides(archive, "heaps-a", "heaps-b")


def test_several_options_are_chosen_from(scored: Archive, card: Card) -> None:
    entry, low, high = scored.catalog.scenes()[0], Options(min_score=0.1), Options(min_score=0.9)
    put(scored, card, entry, A, [(20, 20, 0.9)], options=low)
    old = Asked("heaps-a", low.sha256[:6])
    assert sides(scored, old, "heaps-b")[0].options == low.table
    # Without a word, those that both have: of either side that has several.
    for pair in (("heaps-a", "heaps-b"), ("heaps-b", "heaps-a")):
        assert {side.options_sha256 for side in sides(scored, *pair)} == {PLAIN.sha256}
    put(scored, card, entry, B, [(20, 20, 0.9)], options=high)
    assert {side.options_sha256 for side in sides(scored, "heaps-a", "heaps-b")} == {PLAIN.sha256}
    put(scored, card, entry, B, [(20, 20, 0.9)], options=low)
    with pytest.raises(WeightsError, match=r"got several: .*--old-options .*min_score 0\.1"):
        sides(scored, "heaps-a", "heaps-b")
    assert sides(scored, old, "heaps-b")[1].options == low.table
    # The same weights twice are compared by their options, and never with themselves.
    old, new = sides(scored, Asked("heaps-a", PLAIN.sha256[:6]), "heaps-a")
    assert (old.options_sha256, new.options_sha256) == (PLAIN.sha256, low.sha256)
    with pytest.raises(WeightsError, match="got several"):
        sides(scored, "heaps-a", "heaps-a")
    with pytest.raises(WeightsError, match="nothing could differ"):
        sides(scored, Asked("heaps-a", low.sha256), Asked("heaps-a", low.sha256))
    with pytest.raises(WeightsError, match="got 'ffff'"):
        sides(scored, Asked("heaps-a", "ffff"), "heaps-b")


def test_classes_are_those_that_were_asked_for(scored: Archive, card: Card) -> None:
    assert sides(scored, "heaps-a", "heaps-b")[0].classes == {known.name for known in card.classes}
    some = Options(classes=("coal_heap",))
    put(scored, card, scored.catalog.scenes()[0], A, [], options=some)
    assert sides(scored, Asked("heaps-a", some.sha256), "heaps-b")[0].classes == {"coal_heap"}


def test_every_shared_scene_is_in_one_portion(scored: Archive) -> None:
    old, new = sides(scored, "heaps-a", "heaps-b")
    parts = list(portions(scored.store, old, new, at_a_time=1))
    assert sorted(sha for part in parts for sha in part.scenes) == sorted(new.scenes)
    assert sorted(len(part.old) for part in parts) == [1, 4]
    assert all(set(part.old["weights_sha256"]) == {A} for part in parts)


def test_what_a_review_says(scored: Archive) -> None:
    review(scored, 0, "accept")
    review(scored, 1, "relabel", new_class="mine_head")
    review(scored, 2, "reject")
    review(scored, 2, "accept", note="looked again")
    told = [(one.class_name, one.there, one.decision) for one in said_in(scored.log)]
    assert told == [
        ("coal_heap", True, "accept"),
        ("coal_heap", False, "relabel"),
        ("mine_head", True, "relabel"),
        ("coal_heap", True, "accept"),
    ]
    square = Review("d", "f" * 64, "coal_heap", "redraw", "ann", shapely.box(0, 0, 1, 1), frame="px")
    assert [(one.there, one.frame) for one in said_by(square)] == [(True, "px")]


# --- the program


def test_the_documented_command_and_which_is_older(
    scored: Archive, card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = scored.catalog.scenes()[0]
    for letter in "cd":
        put(scored, card, entry, letter * 64, [(20, 20, 0.9)], name="starter")
    logged(scored, "d" * 64, "c" * 64)
    arguments = [str(scored.folder), "--out", str(tmp_path / "out"), "--old", "starter", "--new", "starter"]
    program().app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    told = json.loads((tmp_path / "out" / "changes.json").read_text("utf-8"))
    assert (told["old"]["weights_sha256"][0], told["new"]["weights_sha256"][0]) == ("d", "c")
    since = told["old"]["since"][:19].replace("T", " ")
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    words = f"Old: starter (dddddddddddd), in the archive since {since} UTC. New: starter (cccccccccccc), in"
    assert words in page
    assert words in " ".join(capsys.readouterr().out.split())
    arguments[-3:] = ["cccc", "--new", "dddd"]
    program().app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    assert "The new ones came to the archive before the old ones." in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_site_where_nothing_was_found_stands_there_with_zeros(
    scored: Archive, card: Card, tmp_path: Path
) -> None:
    last = max(scored.catalog.scenes(), key=lambda entry: entry.href)
    scored.store.forget(next(one for one in scored.store.records(A) if one.scene == last.id))
    for weights in (A, B):
        put(scored, card, last, weights, [])
    compared(scored, tmp_path / "out", "--quiet")
    site = json.loads((tmp_path / "out" / "changes.json").read_text("utf-8"))["sites"]["Camp 15"]
    assert (site["scenes"], site["all"]["old"], site["all"]["gained"]) == (1, 0, 0)
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    row = r"Camp 15</th><td[^>]*>nothing found</td><td>0\.06</td>(<td>0</td>){6}"
    assert re.search(row, page)


def test_figures_wider_than_the_terminal_are_not_cut(
    scored: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    compared(scored, tmp_path / "out")
    assert re.search(r"coal_heap +4 +4 +2 +1 +1 +1 ", capsys.readouterr().out)


class Page(HTMLParser):
    """What a page is made of, as far as somebody who does not see it is concerned."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_four_files_that_say_the_same(
    scored: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    review(scored, 0, "accept")
    review(scored, 1, "accept")
    out = tmp_path / "out"
    assert compared(scored, out) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "changes.gpkg", "changes.json", "index.html", "queue.geojson",
    ]  # fmt: skip
    told = json.loads((out / "changes.json").read_text("utf-8"))
    heap = told["classes"]["coal_heap"]
    assert [heap[k] for k in ("old", "new", "kept", "moved", "lost", "gained")] == [4, 4, 2, 1, 1, 1]
    assert heap["recall_on_accepted"] == 0.5
    fence = told["classes"]["guard_perimeter"]
    assert (fence["old_m"], fence["lost_m"]) == (pytest.approx(216, abs=0.5), pytest.approx(98, abs=1))
    assert told["all"]["km2"] == pytest.approx(2 * 0.0576)
    assert [scene["scene"][:6] for scene in told["scenes"]["only_old"]] == ["scene2"]
    assert set(told["sites"]) == {"Camp 9"}
    queue = json.loads((out / "queue.geojson").read_text("utf-8"))["features"]
    effects = [one["properties"]["effect"] for one in queue]
    assert effects == ["contradicts a review", "gained, sure", "moved", "moved", "other score"]
    assert [one["id"] for one in queue] == [1, 2, 3, 4, 5]
    assert shapely.from_geojson(json.dumps(queue[0]["geometry"])).within(shapely.box(128, 39, 130, 40))
    layers = {
        str(name): gpd.read_file(out / "changes.gpkg", layer=name)
        for name, _ in pyogrio.list_layers(out / "changes.gpkg")
    }
    assert {name: len(rows) for name, rows in layers.items()} == {"boxes": 5, "perimeters": 2, "reviews": 2}
    moved = layers["boxes"][layers["boxes"]["kind"] == "moved"]
    assert moved["side"].tolist() == ["old", "new"]
    assert moved["rank"].tolist() == [3, 3]
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines[:8]), lines
    assert lines[1].split() == ["class", "old", "new", "kept", "moved", "lost", "gained", "change", "recall"]
    words = " ".join(lines)
    assert "2 scenes scored by both" in words
    assert "2 objects kept, 2 moved, 1 lost, 1 gained" in words
    assert "To be looked at: 5 = 2 moved + 1 lost + 1 gained + 1 kept but with another score." in words


def test_the_same_comparison_gives_the_same_bytes(scored: Archive, tmp_path: Path) -> None:
    review(scored, 0, "reject")
    for name in ("one", "two"):
        compared(scored, tmp_path / name, "--quiet")
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_the_page_is_whole_and_can_be_listened_to(scored: Archive, tmp_path: Path) -> None:
    review(scored, 1, "accept", note="<b>")
    compared(scored, tmp_path / "out", "--chips", "2", "--require", "lost == 0")
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    seen = Page(text)
    assert seen.all("html")[0]["lang"] == "en"
    assert len(seen.all("h1")) == 1
    assert len(seen.all("caption")) == len(seen.all("table")) > 3
    assert {cell.get("scope") for cell in seen.all("th")} == {"col", "row"}
    images = seen.all("img")
    assert len(images) == 4
    assert all(str(image["alt"]).startswith(("old weights: ", "new weights: ")) for image in images)
    ids = {str(attributes["id"]) for _, attributes in seen.tags if attributes.get("id")}
    links = [str(link["href"]) for link in seen.all("a")]
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert not seen.all("script")
    assert not seen.all("link")
    asked = re.findall(r"""(?:src|href|url|action)\s*[=(]\s*["']?([^"')>]{0,20})""", text)
    assert all(one.startswith(("data:image/jpeg", "#")) for one in asked)
    assert 'class="unmet">NOT MET: lost == 0 (is 1)' in text


def test_chips_show_both_sides(scored: Archive, tmp_path: Path) -> None:
    compared(scored, tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(one))), np.int64)
        for one in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    ]

    def amount(picture: np.ndarray, colour: str) -> int:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return int((np.abs(picture - wanted).max(axis=2) < 50).sum())

    lost_old, lost_new = pictures[:2]
    assert amount(lost_old, OLD) > 200
    assert amount(lost_old, NEW) == 0
    # Nothing is there now: a dashed outline says where it was.
    assert 50 < amount(lost_new, "#ffffff") < amount(lost_old, OLD)


def test_scenes_that_are_gone_are_told_without_pictures(scored: Archive, tmp_path: Path) -> None:
    for entry in scored.catalog.scenes():
        Path(entry.href).unlink()
    assert compared(scored, tmp_path / "out") == 0
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "<img" not in text
    assert "Without a picture" in text


def test_pictures_are_of_the_bytes_that_were_scored(scored: Archive, tmp_path: Path) -> None:
    for entry in scored.catalog.scenes():
        write_scene(Path(entry.href), np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8))
    compared(scored, tmp_path / "out")
    assert "<img" not in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_nothing_is_half_written(scored: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("of before", encoding="utf-8")
    module = program()
    monkeypatch.setattr("pithead.changes.output.page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        module.compare_weights(scored.folder, old="heaps-a", new="heaps-b", out=out)
    assert [path.name for path in out.iterdir()] == ["index.html"]
    assert (out / "index.html").read_text("utf-8") == "of before"


def test_the_gate(scored: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    review(scored, 0, "accept")
    met, not_met = "recall_on_accepted >= 0.98", "lost_share.coal_heap <= 0.1"
    assert compared(scored, tmp_path / "out", "--quiet", "--require", met) == 0
    assert capsys.readouterr().out == ""
    assert compared(scored, tmp_path / "out", "--quiet", "--require", met, "--require", not_met) == 1
    assert capsys.readouterr().out == "NOT MET: lost_share.coal_heap <= 0.1 (is 0.25)\n"
    assert compared(scored, tmp_path / "out", "--quiet", "--require", "rejected_back_rate <= 1") == 1
    assert "nobody has reviewed" in capsys.readouterr().out
    conditions = json.loads((tmp_path / "out" / "changes.json").read_text("utf-8"))["conditions"]
    assert conditions == [
        {"name": "rejected_back_rate", "relation": "<=", "number": 1.0, "value": None, "met": False}
    ]


def test_a_wrong_condition_is_told_before_any_work(scored: Archive, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="one of these figures"):
        compared(scored, tmp_path / "out", "--require", "recal >= 0.98")
    with pytest.raises(OptionError, match=r"lost\.wagon"):
        compared(scored, tmp_path / "out", "--require", "lost.wagon == 0")
    assert not (tmp_path / "out").exists()


def test_without_georeference_nothing_is_on_a_map(archive: Archive, card: Card, tmp_path: Path) -> None:
    Image.fromarray(np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8)).save(tmp_path / "bare.png")
    from pithead.sidefiles import Facts

    (entry,) = archive.catalog.add([tmp_path / "bare.png"], site="Camp 9", facts=Facts(gsd_m=GSD_M))
    for weights, boxes in ((A, [(20.0, 20.0, 0.9)]), (B, [(40.0, 20.0, 0.9)])):
        with open_scene(entry.href, gsd_m=GSD_M) as scene:
            origin = Origin(entry.id, entry.sha256, weights)
            rows = rows_of(
                layers(found(boxes, []), scene, card, origin), scene, origin, scene_id=entry.id,
                options_sha256=PLAIN.sha256, acquired=None, site_of=lambda _: "Camp 9",
            )  # fmt: skip
        base = RunRecord(
            scene=entry.id, scene_sha256=entry.sha256, weights_sha256=weights,
            weights=f"heaps-{weights[0]}", options_sha256=PLAIN.sha256, options=PLAIN.table, site="Camp 9",
            sites=("Camp 9",), version="0.1.0", host="here", started="2026-03-01T12:00:00.000+00:00",
            seconds=1.0, tiles={}, valid_km2=0.0576, counts={"coal_heap": 1},
        )  # fmt: skip
        archive.store.put(base, rows)
    assert compared(archive, tmp_path / "out", "--quiet") == 0
    (one,) = json.loads((tmp_path / "out" / "queue.geojson").read_text("utf-8"))["features"]
    assert one["geometry"] is None
    assert one["properties"]["shift_m"] == pytest.approx(12.0, abs=0.02)
    assert len(gpd.read_file(tmp_path / "out" / "changes.gpkg", layer="boxes")) == 0
    assert "<img" in (tmp_path / "out" / "index.html").read_text("utf-8")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_exit_statuses(scored: Archive, tmp_path: Path) -> None:
    sides: tuple[Any, ...] = (scored.folder, "--old", "aaaa", "--new", "bbbb", "--out", tmp_path / "out")
    done = run(*sides, "--require", "recall_on_accepted >= 0.98")
    assert (done.returncode, done.stderr) == (1, "")
    assert "NOT MET: recall_on_accepted >= 0.98 (cannot be told" in done.stdout
    done = run(scored.folder, "--old", "nobody", "--new", "bbbb", "--out", tmp_path / "no")
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected one file of weights")
    assert done.stderr.count("\n") == 1
