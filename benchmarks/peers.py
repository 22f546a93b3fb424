"""One peer scans one scene in a process of its own and says what it cost: `peers.py PEER JOB.json`.

Each function loads its peer, runs the network once on a black tile, starts the clock, and scans. What a
process imports is part of its cost, so nothing is imported before its peer is known.
"""
# ruff: noqa: PLC0415 (see above)

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Job:
    """What is scanned, and with what; the same for every peer."""

    scene: str
    weights: str
    ultralytics: str
    geodeep: str
    out: str
    config_dir: str
    tile_px: int
    window_px: int
    """Side of a tile in pixels of the scene."""
    overlap_px: int
    """Of tiles, in pixels of the model."""
    score: float
    threads: int
    tiles: int
    """That the bare session runs."""
    peers_spin: bool
    limit: int | None = None
    device: str = "cpu"
    readers: int = 1


@dataclass(slots=True)
class Result:
    """What was found, in scene pixels, and how many tiles were run."""

    tiles: int
    corners: Any = ()
    scores: Any = ()
    classes: Any = ()


@dataclass(slots=True)
class Clock:
    """CPU and wall time since the scan began."""

    cpu: float = 0.0
    wall: float = 0.0
    facts: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        """Everything is loaded: the scan begins."""
        self.cpu, self.wall = _cpu_s(), time.perf_counter()
        self.facts["start_mb"] = _peak_mb()

    def stop(self) -> None:
        """The scan is done."""
        self.facts |= {"scan_cpu_s": _cpu_s() - self.cpu, "scan_wall_s": time.perf_counter() - self.wall}
        self.facts["peak_mb"] = _peak_mb()


def bare(job: Job, clock: Clock) -> Result:
    """ONNX Runtime alone: noise in tiles, the options of pithead's detector."""
    import numpy as np

    from pithead.detector import Detector

    detector = Detector.open(job.weights, threads=job.threads, device=job.device)
    rng, shape = np.random.default_rng(0), (job.tile_px, job.tile_px, 3)
    noise = rng.integers(0, 256, (max(8, detector.batch), *shape), np.uint8)
    detector.raw(np.zeros_like(noise[: detector.batch]))
    session = detector.session
    clock.start()
    for i in range(0, job.tiles, detector.batch):
        if detector.device == "cpu":
            session.run(["detections"], {"tiles": noise[i % 8][None]})
        else:
            detector.raw(noise[: detector.batch])
    clock.stop()
    return Result(job.tiles)


def pithead(job: Job, clock: Clock) -> Result:
    """pithead.scan, with one reader and batches of four as they are by default."""
    import numpy as np

    from pithead.detector import Detector
    from pithead.imagery import open_scene
    from pithead.scan import Way, scan

    detector = Detector.open(job.weights, threads=job.threads, device=job.device)
    detector = detector.asked_for(min_score=job.score)
    detector.detect(np.zeros((1, job.tile_px, job.tile_px, 3), np.uint8))
    way = Way(job.overlap_px, max(4, detector.batch), job.readers)
    clock.start()
    with open_scene(job.scene) as scene:
        found = scan(scene, detector, way, _until(job.limit))
    clock.stop()
    return Result(found.coverage.run, found.corners_scene, found.scores, found.classes)


def ultralytics(job: Job, clock: Clock) -> Result:
    """Predict window by window, then suppress over the scene by class with ultralytics' own rotated NMS."""
    _prepare(job)
    import numpy as np
    import rasterio
    import torch
    from rasterio.windows import Window
    from ultralytics import YOLO
    from ultralytics.utils.metrics import batch_probiou
    from ultralytics.utils.nms import TorchNMS

    model = YOLO(job.ultralytics, task="obb")
    options = {"conf": job.score, "imgsz": job.tile_px, "device": "cpu", "verbose": False}
    model.predict(np.zeros((job.tile_px, job.tile_px, 3), np.uint8), **options)
    clock.start()
    rows, corners = [], []
    side = job.window_px
    with rasterio.open(job.scene) as dataset:
        places = [(x, y) for y in _starts(dataset.height, job) for x in _starts(dataset.width, job)]
        for x, y in places:
            pixels = dataset.read([1, 2, 3], window=Window(x, y, side, side))
            image = np.ascontiguousarray(pixels.transpose(1, 2, 0)[..., ::-1])  # it takes BGR
            found = model.predict(image, **options)[0].obb
            moved = torch.cat([found.xywhr, found.conf[:, None], found.cls[:, None]], dim=1)
            rows.append(moved + torch.tensor([x, y, 0, 0, 0, 0, 0]))
            corners.append(found.xyxyxyxy + torch.tensor([x, y]))
    table, outlines = torch.cat(rows), torch.cat(corners)
    apart = table[:, :5].double()
    apart[:, :2] += table[:, 6:7] * 2 * max(dataset.width, dataset.height)
    kept = TorchNMS.fast_nms(apart, table[:, 5], 0.5, iou_func=batch_probiou)
    clock.stop()
    return Result(len(places), outlines[kept].numpy(), table[kept, 5].numpy(), table[kept, 6].numpy())


def sahi(job: Job, clock: Clock) -> Result:
    """get_sliced_prediction on the file, a slice at a time as by default, without the pass over the whole."""
    _prepare(job)
    import numpy as np
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    model = AutoDetectionModel.from_pretrained(
        model_type="ultralytics",
        model_path=job.ultralytics,
        confidence_threshold=job.score,
        device="cpu",
        image_size=job.tile_px,
        task="obb",
    )
    model.perform_inference(np.zeros((job.tile_px, job.tile_px, 3), np.uint8))
    tiles = 0

    def count(done: int, _: int) -> None:
        nonlocal tiles
        tiles = done

    clock.start()
    share = job.overlap_px / job.tile_px
    found = get_sliced_prediction(
        job.scene, model, job.window_px, job.window_px, share, share,
        perform_standard_pred=False, verbose=0, progress_callback=count,
    ).object_prediction_list  # fmt: skip
    clock.stop()
    corners = [np.reshape(one.mask.segmentation[0], (4, 2)) for one in found]
    return Result(tiles, corners, [one.score.value for one in found], [one.category.id for one in found])


def geodeep(job: Job, clock: Clock) -> Result:
    """geodeep.detect on the file; it loads the network itself: the clock starts when it says that it has."""
    _prepare(job)
    import numpy as np
    from geodeep import detect

    tiles = 0

    def watch(text: str, _: float) -> None:
        nonlocal tiles
        tiles += text.startswith("Processing tile")
        if text == "Model loaded":
            clock.start()

    boxes, scores, classes = detect(
        job.scene, job.geodeep, conf_threshold=job.score, max_threads=job.threads, progress_callback=watch
    )
    clock.stop()
    left, top, right, bottom = np.reshape(boxes, (-1, 4)).T
    corners = np.stack([left, top, right, top, right, bottom, left, bottom], axis=1).reshape(-1, 4, 2)
    return Result(tiles, corners, scores, [i for i, _ in classes])


PEERS: dict[str, Callable[[Job, Clock], Result]] = {
    "bare": bare,
    "pithead": pithead,
    "ultralytics": ultralytics,
    "sahi": sahi,
    "geodeep": geodeep,
}


def _prepare(job: Job) -> None:
    """Give every session that a peer makes the same number of threads, and keep ultralytics to itself."""
    import onnxruntime

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: Any, sess_options: Any = None, **others: Any) -> None:  # noqa: ANN401
            options = sess_options or onnxruntime.SessionOptions()
            options.intra_op_num_threads = job.threads
            if not job.peers_spin:
                options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            super().__init__(model, options, **others)

    onnxruntime.InferenceSession = Session
    if sys.argv[1] != "geodeep":
        from pithead.learning.quiet import quiet_ultralytics

        quiet_ultralytics(Path(job.config_dir))


class _Enough(Exception):  # noqa: N818 (no error)
    """As many tiles as were asked for."""


def _until(limit: int | None) -> Callable[[int, int], None]:
    def progress(done: int, _: int) -> None:
        if limit is not None and done >= limit:
            raise _Enough

    return progress


def _starts(length: int, job: Job) -> list[int]:
    """Where windows begin: the last one is pushed back into the scene, as SAHI and GeoDeep do."""
    stride = job.window_px - round(job.overlap_px * job.window_px / job.tile_px)
    last = max(0, length - job.window_px)
    return [*range(0, last, stride), last]


def _cpu_s() -> float:
    """User and system time of this process and of those it has waited for."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def _peak_mb() -> float:
    """Most resident memory of this process so far: VmHWM, which a fork does not inherit as ru_maxrss is."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _main() -> None:
    clock = Clock()
    job = Job(**json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
    try:
        result = PEERS[sys.argv[1]](job, clock)
    except _Enough:
        clock.stop()
        result = Result(job.limit or 0)
    facts = clock.facts | {"tiles": result.tiles}
    out = Path(job.out)
    out.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    if sys.argv[1] != "bare":
        import numpy as np

        corners = np.asarray(result.corners, np.float64).reshape(-1, 4, 2)
        scores, classes = np.asarray(result.scores, np.float64), np.asarray(result.classes, np.int64)
        np.savez(out.with_suffix(".npz"), corners=corners, scores=scores, classes=classes)


if __name__ == "__main__":
    _main()
