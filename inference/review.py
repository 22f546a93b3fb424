"""Say of detections whether they are right; what is said stands in the log of the archive."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import geopandas as gpd
import pyarrow as pa
import pyarrow.compute as pc
from cyclopts import App, Parameter

from pithead.changes.sides import weights_in
from pithead.errors import OptionError
from pithead.program import run
from pithead.rescore import Archive
from pithead.rescore.choice import name_of
from pithead.rescore.whereabouts import Whereabouts
from pithead.review import Answer, Review, give_all, read_sheet, reviews, settled
from pithead.store.rows import frame_of

app = App(name="review.py")
Many = Parameter(consume_multiple=True, negative="")
DONE = {"accept": "accepted", "reject": "rejected", "relabel": "relabelled", "redraw": "redrawn"}


@app.default
def review(  # noqa: PLR0913 (options of a command line)
    archive: Path,
    *,
    accept: Annotated[tuple[str, ...], Many] = (),
    reject: Annotated[tuple[str, ...], Many] = (),
    relabel: Annotated[tuple[str, ...], Many] = (),
    filled: Annotated[tuple[Path, ...], Parameter(name="--from", consume_multiple=True, negative="")] = (),
    by: str | None = None,
    remark: Annotated[str, Parameter(name="--note")] = "",
    listed: Annotated[bool, Parameter(name="--list", negative="")] = False,
    site: str | None = None,
) -> None:
    """Say of detections whether they are right, by their ids; of several all are taken down, or none.

    review.py ARCHIVE --accept ID... --reject ID... --relabel ID=CLASS --by NAME, or --from queue.geojson as
    compare.py wrote it, with a column decision filled in, for instance in QGIS. What was said last of a
    detection counts; what was said before stays in the log.

    Parameters
    ----------
    archive
        The folder of the archive.
    accept
        Detections that are what they are said to be.
    reject
        Detections that are none.
    relabel
        Detections that are something else: ID=CLASS.
    filled
        Files that a person has filled in: CSV, GeoJSON or GeoPackage with the columns detection (or
        new_detection and old_detection, as compare.py writes them) and decision (accept, reject, relabel,
        redraw; empty says nothing), and class (to relabel), note and reviewer where they are needed. To
        redraw takes the outline of a GeoJSON or GeoPackage.
    by
        Who says it. Nothing is taken for it unasked: the name stands in the log for good, and goes out with
        exports. A pen name does as well.
    remark
        Goes with all that is said, but where a file has its own.
    listed
        Print what was said last of each detection.
    site
        With --list only of this site.
    """
    answers = [
        *(Answer(detection, "accept", "--accept") for detection in accept),
        *(Answer(detection, "reject", "--reject") for detection in reject),
        *(_relabelled(text) for text in relabel),
        *(answer for path in filled for answer in read_sheet(path)),
    ]
    if not answers and not listed:
        raise OptionError("expected --accept, --reject, --relabel or --from, or --list, got none of them")
    if site is not None and not listed:
        raise OptionError("expected --list with --site: an id says which detection is meant")
    opened = Archive.open(archive)
    if answers:
        _give(opened, answers, by, remark)
    if listed:
        _list(opened, site)


def _relabelled(text: str) -> Answer:
    detection, equals, name = text.partition("=")
    if not equals:
        raise OptionError(f"expected --relabel ID=CLASS, got {text!r}")
    return Answer(detection, "relabel", "--relabel", class_name=name)


def _give(archive: Archive, answers: list[Answer], by: str | None, note: str) -> None:
    classes = frozenset[str]().union(*(known.classes for known in weights_in(archive.store)))
    given = settled(answers, _spoken_of(archive, answers), classes, by, note)
    fresh = give_all(archive.log, given)
    counts = Counter[str](one.decision for one in fresh)
    told = [f"{counts[decision]} {done}" for decision, done in DONE.items()]
    same = len(given) - len(fresh)
    print(", ".join(told) + (f"; {same} said so before" if same else ""))


def _spoken_of(archive: Archive, answers: list[Answer]) -> gpd.GeoDataFrame:
    """The detections that are spoken of; the same one of several options once."""
    ids = pa.array(sorted({answer.detection for answer in answers}), pa.string())
    table = archive.store.table()
    rows = frame_of(table.filter(pc.is_in(table["detection"], value_set=ids)))
    return rows.drop_duplicates("detection")


def _list(archive: Archive, site: str | None) -> None:
    """One line for each detection, the last that was spoken of at the end."""
    found = list(reviews(archive.log).values())
    if site is not None:
        name = name_of(archive.catalog, site)
        rows = Whereabouts.of(archive.catalog).placed(archive.store.detections())
        there = set(rows[rows["site"] == name]["detection"])
        found = [one for one in found if one.detection in there]
    lines = [_line(one) for one in found]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print(f"{len(lines)} detections were spoken of")


def _line(one: Review) -> tuple[str, ...]:
    name = one.class_name if one.new_class is None else f"{one.class_name} → {one.new_class}"
    day = one.given[:16].replace("T", " ")
    return one.detection, one.decision, name, day, *(" ".join(s.split()) for s in (one.reviewer, one.note))


if __name__ == "__main__":
    run(app)
