"""What ultralytics and SAHI make of the same labels: `plain_baseline.py train|scan JOB.json` (.venv-bench).

Nothing is improved here. `train` is `YOLO(...).load(weights).train(data=...)` with ultralytics' defaults, and
`scan` is SAHI's `get_sliced_prediction` with its defaults; what is said to them stands below. Other programs
start this one: it is the only one of the comparison that imports torch.
"""
# ruff: noqa: PLC0415 (nothing is imported before the quiet is made)

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One training by ultralytics' defaults, of `epochs` passes or, where that is 0, of `hours`."""

    data: str
    """data.yaml; what it calls val is looked at once, after the last step, and decides nothing."""
    model: str
    """Architecture, such as yolo26n-obb.yaml."""
    weights: str
    out: str
    """Folder; `plain.json` is written last."""
    tile_px: int
    hours: float
    epochs: int
    batch: int
    seed: int
    device: str
    threads: int


@dataclass(frozen=True, slots=True)
class ScanJob:
    """Scenes to go through with one checkpoint."""

    weights: str
    scenes: tuple[str, ...]
    out: str
    """Folder; one .npz a scene."""
    tile_px: int
    overlap: float
    """Share of a slice."""
    score: float
    tuned: bool
    """Instead of SAHI's defaults: no look at the whole scene at once, and suppression by IoS, not IoU.

    (By default it takes IoS, but changes to IoU by itself where scores below 0.1 are asked for.)
    """
    device: str
    threads: int


def train(job: TrainJob) -> None:
    """Train from the given weights by ultralytics' defaults, and write what it took.

    Three things are not its defaults: nothing is drawn (that would fetch fonts), no validation takes of the
    time, and the last weights, not those that look best on the held-out part, are what is measured.
    """
    import torch
    from ultralytics import YOLO

    torch.set_flush_denormal(True)  # changes no result; without it the first steps take ten times as long
    out = Path(job.out)
    model: Any = YOLO(job.model, task="obb").load(job.weights)
    seen = {"images": 0, "epochs": 0, "begun": 0.0, "ended": 0.0}

    def count(trainer: Any) -> None:  # noqa: ANN401 (ultralytics publishes no types)
        """Of a batch: the last one of an epoch is smaller."""
        left = len(trainer.train_loader.dataset) - seen["images"] % len(trainer.train_loader.dataset)
        seen.update(images=seen["images"] + min(job.batch, left))

    # ultralytics takes a core less than there are, on two cores a single one: it gets as many as pithead
    model.add_callback("on_train_start", lambda _: torch.set_num_threads(job.threads))
    model.add_callback("on_train_start", lambda _: seen.update(begun=time.monotonic()))
    model.add_callback("on_train_batch_start", count)
    model.add_callback(
        "on_train_epoch_end", lambda _: seen.update(epochs=seen["epochs"] + 1, ended=time.monotonic())
    )
    ends: dict[str, Any] = {"epochs": job.epochs} if job.epochs else {"time": job.hours}
    model.train(
        data=job.data, imgsz=job.tile_px, batch=job.batch, seed=job.seed, device=job.device, project=str(out),
        name="run", exist_ok=True, val=False, plots=False, verbose=True, **ends,
    )  # fmt: skip
    last = out / "run" / "weights" / "last.pt"
    last.replace(out / "last.pt")
    facts = {
        "seconds": round(seen["ended"] - seen["begun"]),
        "cpu_seconds": round(sum(os.times()[:4])),
        "epochs": seen["epochs"],
        "images": seen["images"],
    }
    _write(out / "plain.json", json.dumps(facts) + "\n")


def scan(job: ScanJob) -> None:
    """Go through each scene that has no result yet by SAHI's get_sliced_prediction."""
    import numpy as np
    import torch
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    model = AutoDetectionModel.from_pretrained(
        model_type="ultralytics", model_path=job.weights, confidence_threshold=job.score, device=job.device,
        image_size=job.tile_px, task="obb",
    )  # fmt: skip
    model.perform_inference(np.zeros((job.tile_px, job.tile_px, 3), np.uint8))  # after this, threads stay
    torch.set_num_threads(job.threads)
    for scene in job.scenes:
        path = Path(job.out) / f"{Path(scene).stem}.npz"
        if path.is_file():
            continue
        clock = time.monotonic()
        found = get_sliced_prediction(
            scene, model, job.tile_px, job.tile_px, job.overlap, job.overlap,
            perform_standard_pred=not job.tuned, force_postprocess_type=job.tuned, verbose=0,
        ).object_prediction_list  # fmt: skip
        outlines = [np.reshape(one.mask.segmentation[0], (-1, 2)) for one in found]
        temporary = path.with_suffix(".tmp.npz")
        np.savez(
            temporary,
            points=np.concatenate([np.zeros((0, 2)), *outlines]),
            counts=np.array([len(outline) for outline in outlines], np.int64),
            scores=np.array([one.score.value for one in found], np.float64),
            classes=np.array([one.category.id for one in found], np.int64),
        )
        temporary.replace(path)
        print(f"{path.stem}: {len(found)} in {time.monotonic() - clock:.1f} s", flush=True)


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _main() -> None:
    verb, file = sys.argv[1:]
    told = json.loads(Path(file).read_text(encoding="utf-8"))
    # ultralytics would take as many threads as there are cores, whatever torch is told later
    os.environ["OMP_NUM_THREADS"] = str(told["threads"])
    from pithead.learning.quiet import quiet_ultralytics

    quiet_ultralytics(Path(told["out"]) / "settings")
    import torch

    torch.set_num_threads(told["threads"])
    if verb == "train":
        train(TrainJob(**told))
    else:
        scan(ScanJob(**{**told, "scenes": tuple(told["scenes"])}))


if __name__ == "__main__":
    _main()
