"""A service in the shape of BentoML's published example for YOLO: paths in, ultralytics, rows out."""

import os
from pathlib import Path

os.environ["BENTOML_DO_NOT_TRACK"] = "True"

import bentoml
from ultralytics import YOLO

SIDE = int(os.environ.get("PEER_SIDE", "1024"))
SCORE = float(os.environ.get("PEER_SCORE", "0.25"))


@bentoml.service(workers=1, traffic={"timeout": 120})
class Peer:
    """Torch weights behind a batchable method."""

    def __init__(self) -> None:
        """Load the weights."""
        self.model = YOLO(os.environ["PEER_WEIGHTS"])

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=60_000)
    def predict(self, images: list[Path]) -> list[list[dict[str, object]]]:
        """Rows of each image."""
        found = self.model.predict(source=[str(p) for p in images], imgsz=SIDE, conf=SCORE, verbose=False)
        return [
            [
                {"class": int(kind), "score": float(score), "box": [float(v) for v in box]}
                for box, score, kind in zip(each.obb.xywhr, each.obb.conf, each.obb.cls, strict=True)
            ]
            for each in found
        ]
