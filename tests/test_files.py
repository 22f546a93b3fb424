"""Files that appear whole, and lines that end at newlines only."""

from pathlib import Path

import pytest

from pithead.files import lines_of, write_whole


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_whole(path, "ä")
    assert path.read_bytes() == "ä".encode()
    write_whole(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "old"


def test_only_newlines_end_lines() -> None:
    assert lines_of('{"note": "a\u2028b\x85c"}\n\n2\n') == ['{"note": "a\u2028b\x85c"}', "2"]
