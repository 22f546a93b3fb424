"""Write the dossier of a site: what changed there over time, how sure that is, and what stands behind it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from pithead.catalog import Site
from pithead.errors import CatalogError, OptionError, WeightsError
from pithead.program import run
from pithead.report import (
    Discretion,
    Dossier,
    Left,
    Told,
    dossier_of,
    told_of,
    words_of,
    write_dossier,
    write_index,
)
from pithead.report.dossier import PICTURES
from pithead.report.printing import browser
from pithead.rescore import Archive
from pithead.rescore.choice import name_of
from pithead.sites import chronicle

app = App(name="report.py")
Many = Parameter(consume_multiple=True, negative="")
Flag = Parameter(negative="")
RULES = Path(__file__).resolve().parent / "signs.toml"


@app.default
def report(  # noqa: PLR0913 (options of a command line)
    archive: Path,
    *,
    out: Path,
    site: Annotated[tuple[str, ...], Many] = (),
    weights: str | None = None,
    rules: Path = RULES,
    language: Annotated[tuple[str, ...], Many] = ("en",),
    coarsen_km: float | None = None,
    redact: Annotated[bool, Flag] = False,
    pictures: int = PICTURES,
    no_pdf: Annotated[bool, Flag] = False,
    sign: Path | None = None,
) -> None:
    """Write the dossier of a site into OUT, or of all sites with an index of their changes in order.

    For each site: SITE.en.html, one page that asks for nothing else; SITE.en.pdf, if this machine has
    Chromium; SITE.quantities.csv, .changes.csv, .states.csv and .signs.csv; SITE.gpkg for QGIS; and
    SITE.chain.jsonl, the part of the archive's log that proves them (inference/check_chain.py).

    Parameters
    ----------
    archive
        The folder of the archive.
    out
        Where the files go.
    site
        Names or aliases of sites; without it all sites of the archive, and index.en.html.
    weights
        A file of weights, whose card tells its errors; or a name or the beginning of a sha256 of weights in
        the store. Without it, for each site those that scored most of its scenes.
    rules
        A TOML file of signs.
    language
        Of the pages: en, ko, or both.
    coarsen_km
        For publication: coordinates from a grid of so many km, times to the day, blurred pictures, no names
        of files.
    redact
        Leave out the names of reviewers and of those who wrote rules.
    pictures
        At most so many changes are shown before and after; with 0 there are no pictures.
    no_pdf
        Print no PDF.
    sign
        Sign the head of the log with this ed25519 key (PEM) after the records of the files.
    """
    if pictures < 0:
        raise OptionError(f"expected --pictures from 0, got {pictures}")
    for one in language:
        words_of(one)
    opened, told = Archive.open(archive), Discretion(coarsen_km, redact)
    chromium = None if no_pdf else browser()
    if chromium is None and not no_pdf:
        print("no PDF: expected Chromium on the PATH, got none; the pages print from any browser")
    sites: list[Told] = []
    for place in _places(opened, site):
        try:
            history = chronicle(opened, place.name, weights=weights, rules=rules)
        except WeightsError as error:
            if site:
                raise
            sites.append(Told(told.site(place.name, len(sites) + 1), None))
            print(f"{place.name}: {error}")
            continue
        dossier = dossier_of(opened, history, told, pictures=pictures)
        _tell(dossier, out, write_dossier(out, opened, dossier, language, chromium=chromium, key=sign))
        sites.append(told_of(dossier))
    if len(site) != 1:
        names = write_index(out, opened, sites, language, key=sign)
        print(f"{len(sites)} sites: {out / names[0]}")


def _tell(dossier: Dossier, out: Path, left: Left) -> None:
    """Print what was written of a site."""
    site, scenes = dossier.chronicle.site.name, len(dossier.chronicle.views)
    if not scenes:
        print(f"{site}: nothing can be said: {' '.join(str(note) for note in dossier.chronicle.notes)}")
    print(f"{site}: {scenes} scenes, {len(dossier.sure)} changes beyond their error: {out / left.files[0]}")
    for remark in left.remarks:
        print(remark)


def _places(archive: Archive, names: tuple[str, ...]) -> Iterator[Site]:
    """The sites that are meant.

    Raises:
        CatalogError: The archive has no such site, or none at all.
    """
    known = sorted(archive.catalog.sites(), key=lambda one: one.name)
    if not known:
        raise CatalogError(
            "expected an archive with sites, got one without: give them with rescore.py --sites or --site"
        )
    wanted = dict.fromkeys(name_of(archive.catalog, name) for name in names)
    yield from (one for one in known if not wanted or one.name in wanted)


if __name__ == "__main__":
    run(app)
