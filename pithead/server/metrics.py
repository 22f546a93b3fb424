"""What Prometheus is told: requests, tiles, batches, model seconds, what waits, jobs and detections.

Counters are of prometheus_client, so several processes add to the same ones where PROMETHEUS_MULTIPROC_DIR
is set before this module is imported, as BentoML does. What lies in the database is counted when it is asked
for. Names carry no site, scene, key or address.
"""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from pithead.server.database import Database

REQUESTS: Final = Counter("pithead_requests", "Requests that were answered.", ["method", "route", "status"])
REQUEST_SECONDS: Final = Histogram(
    "pithead_request_seconds",
    "From the head of a request to the end of its answer.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
TILES: Final = Counter("pithead_tiles", "Tiles that went through the model for /v1/detect.")
BATCH_TILES: Final = Histogram(
    "pithead_batch_tiles", "Tiles of one call of the model.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
MODEL_SECONDS: Final = Histogram(
    "pithead_model_seconds",
    "Seconds of one call of the model.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
WAITING: Final = Gauge(
    "pithead_waiting", "Requests of /v1/detect that are not answered yet.", multiprocess_mode="livesum"
)
FOUND: Final = Counter("pithead_found", "Detections that /v1/detect has told.", ["class"])

STORED: Final = (
    ("pithead_jobs", "Jobs by their state.", "state", "SELECT state, count(*) FROM jobs GROUP BY state"),
    (
        "pithead_detections",
        "Detections that the map shows, by class.",
        "class",
        "SELECT class_now, count(*) FROM mirror_detections WHERE shown = 1 GROUP BY class_now",
    ),
)
"""Gauges over the database: name, what it says, its label, and rows of label and count."""


def ran(tiles: int, seconds: float) -> None:
    """Count one call of the model."""
    TILES.inc(tiles)
    BATCH_TILES.observe(tiles)
    MODEL_SECONDS.observe(seconds)


@dataclass(frozen=True, slots=True)
class Stored:
    """Counts of what lies in the database, as they are at this moment; a collector of prometheus_client."""

    database: Database

    def collect(self) -> Iterator[Metric]:
        """One gauge for each query; none for a table that is not there."""
        for name, told, label, query in STORED:
            gauge = GaugeMetricFamily(name, told, labels=[label])
            try:
                with self.database.reading() as connection:
                    rows = connection.execute(query).fetchall()
            except sqlite3.OperationalError:  # another part of the server keeps that table
                continue
            for value, count in rows:
                gauge.add_metric([str(value)], count)
            yield gauge


def exposition(database: Database) -> bytes:
    """All of it in Prometheus' text format, of every process of this server."""
    stored = CollectorRegistry(auto_describe=False)
    stored.register(Stored(database))
    counted = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(stored)
