"""Detections and run records on disk: GeoParquet by weights and site, and a record of each run.

>>> store = Store.at("archive/store")
>>> heaps = store.detections(weights=sha256, classes=["coal_heap"])

A run counts when its record is there, and is there once, whoever puts it, is killed or compacts meanwhile.
"""

from pithead.store.exporting import export
from pithead.store.record import VARYING, RunRecord, options_sha256
from pithead.store.rows import COLUMNS, SCHEMA, content_sha256, detection_id, rows_of
from pithead.store.scans import take_scans
from pithead.store.store import Store
from pithead.store.verification import Fault

__all__ = [
    "COLUMNS",
    "SCHEMA",
    "VARYING",
    "Fault",
    "RunRecord",
    "Store",
    "content_sha256",
    "detection_id",
    "export",
    "options_sha256",
    "rows_of",
    "take_scans",
]
