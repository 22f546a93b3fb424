"""What a dossier leaves: pages, PDFs, tables, a GeoPackage and the chain behind them; all or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pithead.report.chain import ENDING, exported
from pithead.report.dossier import Dossier
from pithead.report.layers import write_layers
from pithead.report.page import page
from pithead.report.printing import print_pdf
from pithead.report.tables import tables
from pithead.report.words import words_of
from pithead.rescore import Archive
from pithead.results import all_or_nothing


@dataclass(frozen=True, slots=True)
class Left:
    """The names of what was written, and what could not be."""

    files: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def write_dossier(
    out: Path,
    archive: Archive,
    dossier: Dossier,
    languages: Sequence[str] = ("en",),
    *,
    chromium: str | None = None,
    key: Path | None = None,
) -> Left:
    """Write SLUG.LANGUAGE.html and .pdf, SLUG.TABLE.csv, SLUG.gpkg and SLUG.chain.jsonl into a folder.

    Args:
        out: The folder.
        archive: In its log each file has a record.
        dossier: What is told.
        languages: Of the pages.
        chromium: What prints PDFs; without it there are none.
        key: Sign the head of the log with this.

    Raises:
        OptionError: The folder cannot be written to, or there are no words of a language.
        StoreError: The log cannot be written.
    """
    remarks: list[str] = []
    slug = dossier.slug
    with all_or_nothing(out) as folder:
        files: list[Path] = []
        for language in languages:
            path = folder / f"{slug}.{language}.html"
            path.write_text(page(dossier, words_of(language)), encoding="utf-8")
            files.append(path)
            if chromium is not None:
                pdf = path.with_suffix(".pdf")
                why = print_pdf(path, pdf, chromium)
                files += [pdf] if why is None else []
                remarks += [] if why is None else [why]
        for name, text in tables(dossier).items():
            path = folder / f"{slug}.{name}.csv"
            path.write_text(text, encoding="utf-8", newline="")
            files.append(path)
        layers = folder / f"{slug}.gpkg"
        write_layers(layers, dossier)
        files.append(layers)
        chain = folder / f"{slug}{ENDING}"
        chain.write_bytes(exported(archive, files, [dossier], key))
    return Left(tuple(file.name for file in (*files, chain)), tuple(remarks))
