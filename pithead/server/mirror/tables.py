"""The tables of the mirror; names begin with `mirror_`, and all of them may be dropped at any time."""

from typing import Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS mirror_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS mirror_sites (
    slug TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    aliases TEXT NOT NULL,
    west REAL, south REAL, east REAL, north REAL
) STRICT;

CREATE TABLE IF NOT EXISTS mirror_scenes (
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    acquired TEXT,
    sensor TEXT,
    gsd_x_m REAL NOT NULL, gsd_y_m REAL NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL,
    km2 REAL NOT NULL,
    frame TEXT NOT NULL,
    west REAL NOT NULL, south REAL NOT NULL, east REAL NOT NULL, north REAL NOT NULL,
    sites TEXT NOT NULL,
    more TEXT NOT NULL,
    href TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS mirror_scene_sites (
    site TEXT NOT NULL,
    scene TEXT NOT NULL REFERENCES mirror_scenes ON DELETE CASCADE,
    PRIMARY KEY (site, scene)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mirror_scene_sites_scene ON mirror_scene_sites (scene);

CREATE TABLE IF NOT EXISTS mirror_weights (
    sha256 TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    thresholds TEXT NOT NULL,
    calibration TEXT,
    applied TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS mirror_runs (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    scene TEXT NOT NULL REFERENCES mirror_scenes ON DELETE CASCADE,
    scene_sha256 TEXT NOT NULL,
    weights TEXT NOT NULL,
    weights_sha256 TEXT NOT NULL,
    options_sha256 TEXT NOT NULL,
    result_sha256 TEXT NOT NULL,
    told INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    started TEXT NOT NULL,
    record TEXT NOT NULL,
    shown INTEGER NOT NULL DEFAULT 0,
    last INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS mirror_runs_scene ON mirror_runs (scene);

CREATE TABLE IF NOT EXISTS mirror_detections (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    run INTEGER NOT NULL REFERENCES mirror_runs ON DELETE CASCADE,
    shown INTEGER NOT NULL DEFAULT 0,
    last INTEGER NOT NULL DEFAULT 0,
    scene TEXT NOT NULL,
    frame TEXT NOT NULL,
    class_now TEXT NOT NULL,
    score REAL NOT NULL,
    uncertainty REAL NOT NULL,
    site TEXT,
    decision TEXT NOT NULL DEFAULT 'unreviewed',
    review INTEGER,
    west REAL NOT NULL, south REAL NOT NULL, east REAL NOT NULL, north REAL NOT NULL,
    world_x REAL NOT NULL, world_y REAL NOT NULL,
    UNIQUE (run, id)
) STRICT;
CREATE INDEX IF NOT EXISTS mirror_detections_id ON mirror_detections (id);
CREATE INDEX IF NOT EXISTS mirror_detections_scene ON mirror_detections (scene, id);
CREATE INDEX IF NOT EXISTS mirror_detections_site ON mirror_detections (site, id);
CREATE INDEX IF NOT EXISTS mirror_detections_score ON mirror_detections (score DESC, id);
CREATE INDEX IF NOT EXISTS mirror_detections_uncertainty ON mirror_detections (uncertainty DESC, id);

CREATE TABLE IF NOT EXISTS mirror_shapes (
    number INTEGER PRIMARY KEY REFERENCES mirror_detections ON DELETE CASCADE,
    class TEXT NOT NULL,
    uncertainty_by TEXT NOT NULL,
    measures TEXT NOT NULL,
    geometry BLOB NOT NULL
) STRICT;

CREATE VIRTUAL TABLE IF NOT EXISTS mirror_boxes USING rtree (number, west, east, south, north);
CREATE TRIGGER IF NOT EXISTS mirror_boxes_gone AFTER DELETE ON mirror_detections BEGIN
    DELETE FROM mirror_boxes WHERE number = old.number;
END;

CREATE TABLE IF NOT EXISTS mirror_reviews (
    seq INTEGER PRIMARY KEY,
    detection TEXT NOT NULL,
    time TEXT NOT NULL,
    hash TEXT NOT NULL,
    decision TEXT NOT NULL,
    class TEXT NOT NULL,
    new_class TEXT,
    note TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    frame TEXT NOT NULL,
    geometry BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS mirror_reviews_detection ON mirror_reviews (detection, seq);

CREATE TABLE IF NOT EXISTS mirror_finished (
    scene_sha256 TEXT NOT NULL,
    weights_sha256 TEXT NOT NULL,
    options_sha256 TEXT NOT NULL,
    result_sha256 TEXT NOT NULL,
    seq INTEGER NOT NULL,
    time TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (scene_sha256, weights_sha256, options_sha256)
) STRICT, WITHOUT ROWID;
"""
