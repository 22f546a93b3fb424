"""What is told of a history beside its pictures: sites, truth, labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely

from pithead.generate.history import History, Shot
from pithead.generate.scene import GeneratedScene
from pithead.labels.label import FACTS

LEAST_VISIBLE = 0.5
"""Things of which less than this can be seen are labelled as possible: neither objects nor background."""


def sites_geojson(histories: Sequence[History]) -> dict[str, Any]:
    """The sites as a FeatureCollection."""
    features = []
    for history in histories:
        corners = history.to_lonlat(shapely.get_coordinates(history.outline)).round(8)
        geometry = json.loads(shapely.to_geojson(shapely.Polygon(corners)))
        features.append({"type": "Feature", "properties": {"name": history.name}, "geometry": geometry})
    return {"type": "FeatureCollection", "features": features}


def shot_facts(history: History, shot: Shot) -> dict[str, Any]:
    """What is true of a shot, as JSON."""
    truth, (dx, dy) = history.truth(shot), shot.shift_m
    labels = [
        {
            "thing": label.thing,
            "class": label.cls,
            "kind": label.kind,
            "visible": round(label.visible, 4),
            "box": history.to_lonlat(label.box).round(8).tolist(),
            "outline": shapely.to_wkt(shapely.transform(label.shape, history.to_lonlat), 8),
        }
        for label in truth.labels
    ]
    return {
        "date": shot.date.isoformat(),
        "sensor": shot.sensor.name,
        "shift_m": [round(dx, 3), round(dy, 3)],
        "off_nadir_deg": round(shot.off_nadir_deg, 2),
        "snow": shot.snow,
        "haze": round(shot.haze, 3),
        "cloud": round(shapely.union_all([*shot.clouds]).area / shot.footprint.area, 4),
        "quantities": {name: round(value, 6) for name, value in truth.quantities.items()},
        "labels": labels,
    }


def label_lines(name: str, scene: GeneratedScene) -> Iterator[str]:
    """Lines of labels.jsonl: scene pixels to 1/100; what can hardly be seen is possible, not sure."""
    facts = {key: scene.facts[key] for key in FACTS if key in scene.facts}
    for truth in scene.truths:
        confidence = "sure" if float(truth.attributes["visible"]) >= LEAST_VISIBLE else "possible"
        points = np.round(truth.points_m, 2).tolist()
        shape: dict[str, object] = (
            {"line": points, "closed": truth.closed}
            if truth.class_name == "guard_perimeter"
            else {"polygon": points}
        )
        row = {"image": name, "class": truth.class_name, "confidence": confidence, **shape}
        yield json.dumps({**row, **truth.attributes, **facts}) + "\n"
    if not scene.truths:
        yield json.dumps({"image": name, "class": "none", "confidence": "sure", **facts}) + "\n"
