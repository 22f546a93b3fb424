"""Compare what two weights give of an archive, before the new ones are taken into use."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from pithead.changes import Judged, Requirement, compare, figures, judge, names, queue_of
from pithead.changes.archive import portions, rows_of, said_in
from pithead.changes.chips import chips as cut
from pithead.changes.output import write_changes
from pithead.changes.sides import Asked, sides_of
from pithead.changes.words import about, sides
from pithead.errors import OptionError
from pithead.evaluation.page import text
from pithead.program import run
from pithead.rescore import Archive
from pithead.rescore.whereabouts import Whereabouts

app = App(name="compare.py")
COLUMNS = {
    "old": "old", "new": "new", "kept": "kept", "moved": "moved", "lost": "lost", "gained": "gained",
    "score_change_median": "score\nchange", "recall_on_accepted": "recall",
}  # fmt: skip
"""Figures of the table, by heading; two headings are as narrow as their figures."""
NOT_MET = 1


@app.default
def compare_weights(  # noqa: PLR0913 (options of a command line)
    archive: Path,
    *,
    old: str,
    new: str,
    out: Path,
    require: Annotated[tuple[str, ...], Parameter(consume_multiple=False, negative="")] = (),
    old_options: str | None = None,
    new_options: str | None = None,
    chips: int = 60,
    quiet: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Compare the results of two weights in the store of an archive, scene by scene.

    Only scenes that both have scored are compared, the same bytes and not the same name. OUT gets
    changes.json (all figures), changes.gpkg (what changed, for a map), queue.geojson (what to look at, in
    order) and index.html (all of it, with pictures); all four or none.

    The exit status is 0 if every condition is met, 1 if one is not, 2 for bad input.

    Parameters
    ----------
    archive
        The folder of the archive.
    old
        The weights in use: a file, a sha256 or the beginning of one, or their name in the store. Of several
        weights of that name, the last that came into the log before the new ones.
    new
        The weights that may replace them, as --old; of several weights of that name, the last that came into
        the log. So --old starter --new starter compares the last two of that name.
    out
        Where the results go.
    require
        A condition for taking the new weights into use, such as "recall_on_accepted >= 0.98" or
        "lost_share.mine_head <= 0.05"; may be given several times. A figure that cannot be told, since nobody
        has reviewed anything, does not meet it.
    old_options
        The beginning of the sha256 of the options, where the old weights were run with several; else the
        options that both sides have, if there is one such set.
    new_options
        The same of the new weights.
    chips
        At most so many changes are shown with pictures.
    quiet
        Print nothing but conditions that are not met.
    """
    if chips < 0:
        raise OptionError(f"expected 0 chips or more, got {chips}")
    asked = [Requirement.read(one) for one in require]
    place = Archive.open(archive)
    first, second = sides_of(place.store, place.log, Asked(old, old_options), Asked(new, new_options))
    where = Whereabouts.of(place.catalog)
    sites = {sha: entry.sites for sha, entry in where.entries.items()}
    first, second = first.shown_at(sites), second.shown_at(sites)
    rows = portions(place.store, first, second, placed=where.placed)
    comparison = compare(first, second, rows, said_in(place.log))
    numbers, queue = figures(comparison), queue_of(comparison.changed)
    judged = judge(asked, names(numbers))
    shown = queue.head(chips)
    scenes = tuple(shown["scene_sha256"].unique())
    was, now = (rows_of(place.store, side, scenes) for side in (first, second))
    pictures = cut(
        shown,
        where.entries,
        lambda sha: (was[was["scene_sha256"] == sha], now[now["scene_sha256"] == sha]),
        second.options,
    )
    write_changes(out, comparison, numbers, queue, pictures, judged)
    _tell(numbers, judged, (sides(comparison), about(numbers, queue)), out, quiet=quiet)
    if not all(one.met for one in judged):
        raise SystemExit(NOT_MET)


def _tell(
    numbers: dict[str, Any], judged: tuple[Judged, ...], words: tuple[str, ...], out: Path, *, quiet: bool
) -> None:
    """Print a table, sentences and the conditions."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if not quiet:
        table = _table(numbers)
        # A figure that is cut says something else: what is wider than the terminal runs on.
        wide = console.measure(table, options=console.options.update(max_width=1000)).maximum
        console.width = max(console.width, wide)
        console.print(table)
        for line in (*words, str(out / "index.html")):
            console.print(line)
    for one in judged:
        if not (quiet and one.met):
            console.print(one.told)


def _table(numbers: dict[str, Any]) -> Table:
    """The figures of each class, without lines between them: 80 columns hold it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("class", no_wrap=True)
    for heading in COLUMNS.values():
        table.add_column(heading, no_wrap=True, justify="right", vertical="bottom")
    for name, row in {**numbers["classes"], "all": numbers["all"]}.items():
        table.add_row(name, *(text(row[column]) for column in COLUMNS))
    return table


if __name__ == "__main__":
    run(app)
