"""The dossier of a site: its history as a page for people, and as tables and maps for programs.

>>> archive = Archive.open("archive")
>>> dossier = dossier_of(archive, chronicle(archive, "Camp 15"), Discretion(coarsen_km=10, redact=True))
>>> write_dossier(Path("out"), archive, dossier, ("en", "ko"))
"""

from pithead.report.discretion import Discretion
from pithead.report.dossier import Dossier, dossier_of
from pithead.report.index import Line, Told, told_of, write_index
from pithead.report.output import Left, write_dossier
from pithead.report.words import LANGUAGES, Words, words_of

__all__ = [
    "LANGUAGES",
    "Discretion",
    "Dossier",
    "Left",
    "Line",
    "Told",
    "Words",
    "dossier_of",
    "told_of",
    "words_of",
    "write_dossier",
    "write_index",
]
