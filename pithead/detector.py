"""An ONNX file and its card as a detector: tiles in, rows out. The only module that imports onnxruntime."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import onnxruntime

from pithead.card import METADATA_KEY, Card
from pithead.errors import CardError, OptionError, WeightsError
from pithead.manifest import check

ROW = 7  # cx, cy, w, h, angle, score, class
GPU_BATCH = 32  # tiles that go through a GPU at once
FLOOR = 0.02
"""Of calibrated weights, rows under this score of the network are nothing, whatever a flat curve says.

No curve is fitted to such rows (`evaluation.FLOOR`), and 0 is what suppression leaves of a row that repeats
another.
"""

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class Detector:
    """Weights that are ready to run; the same tiles give the same rows, whatever batch they come in.

    Attributes:
        card: The facts inside the file.
        sha256: Hash of the file.
        path: Where it came from.
        device: Where it runs: cpu, cuda or tensorrt.
        batch: How many tiles go through the graph at once.
    """

    __slots__ = ("_session", "_thresholds", "batch", "card", "device", "path", "sha256")

    def __init__(
        self, path: Path, session: onnxruntime.InferenceSession, card: Card, sha256: str, batch: int | None
    ) -> None:
        """Take what `open` has checked."""
        self.path, self._session, self.card, self.sha256 = path, session, card, sha256
        self._thresholds = np.array(card.thresholds, np.float32)
        first = session.get_providers()[0]
        self.device = next(name for name, provider in _PROVIDERS.items() if provider == first)
        # One tile at a time on the CPU: onnxruntime is as fast so, and sums may differ between batch sizes.
        self.batch = batch or (1 if self.device == "cpu" else GPU_BATCH)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        threads: int | None = None,
        device: Device = "auto",
        batch: int | None = None,
        verify: bool = True,
    ) -> "Detector":
        """Open an ONNX file that the list beside it names, if there is one (`pithead.manifest`).

        Args:
            path: The file.
            threads: CPU threads, None for one per physical core.
            device: Where it runs; auto is CUDA if onnxruntime has it, else the CPU. TensorRT computes in
                half precision and builds an engine first, which is kept in $XDG_CACHE_HOME/pithead.
            batch: How many tiles go through the graph at once: 1 on the CPU and 32 on a GPU without it.
            verify: Whether weights are refused that the list beside them does not name, or with another hash.

        Raises:
            OptionError: Threads, batch or device that cannot be.
            WeightsError: The file is missing, no ONNX model, or not what the list beside it says.
            CardError: It has no card, or its inputs and outputs are not those of the contract.
        """
        path = Path(path)
        if threads is not None and threads < 1:
            raise OptionError(f"expected at least 1 thread, got {threads}")
        if batch is not None and batch < 1:
            raise OptionError(f"expected a batch of at least 1 tile, got {batch}")
        providers = _providers(device)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WeightsError(
                f"expected weights at {path}: {error.strerror}; give the path of an .onnx"
            ) from error
        sha256 = hashlib.sha256(content).hexdigest()
        if verify:
            check(path, sha256)
        session = _session(path, content, threads, providers)
        _check_device(device, session)
        metadata = session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in metadata:
            raise CardError(f"{path} has no card of pithead; export the weights with training/export.py")
        card = Card.from_json(metadata[METADATA_KEY])
        _check_contract(path, session, card)
        return cls(path, session, card, sha256, batch)

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The session of onnxruntime, for measuring what it costs by itself."""
        return self._session

    def asked_for(self, names: Sequence[str] | None = None, min_score: float | None = None) -> "Detector":
        """The same detector that keeps only rows of the named classes, or from another score on.

        Raises:
            OptionError: A class that the card does not name, or a score that is not within 0 and 1.
        """
        known = [c.name for c in self.card.classes]
        if strange := sorted(set(names or ()) - set(known)):
            raise OptionError(f"expected classes of {', '.join(known)}; got {', '.join(strange)}")
        if min_score is not None and not 0 <= min_score <= 1:
            raise OptionError(f"expected a lowest score of 0 to 1, got {min_score}")
        asked = Detector(self.path, self._session, self.card, self.sha256, self.batch)
        if min_score is not None:
            asked._thresholds = np.full(len(known), min_score, np.float32)
        if names:
            asked._thresholds[[name not in names for name in known]] = np.inf
        return asked

    def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Return the rows (k, 7) of each tile of (N, H, W, 3) uint8 RGB, best score first.

        A row is cx, cy, w, h in tile px, angle of the long side in [-pi/2, pi/2), score, class; rows under
        the threshold of their class are left out. Scores are probabilities if the card has a calibration.

        Raises:
            OptionError: The tiles have another shape or type.
        """
        return [self._kept(rows) for rows in self.raw(tiles)]

    def raw(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return every row that the graph gives, (N, K, 7), whatever its score; scores are the network's own.

        Raises:
            OptionError: The tiles have another shape or type.
        """
        side = self.card.tile_px
        if tiles.ndim != 4 or tiles.shape[1:] != (side, side, 3) or tiles.dtype != np.uint8:
            raise OptionError(f"expected tiles (N, {side}, {side}, 3) uint8, got {tiles.shape} {tiles.dtype}")
        if not len(tiles):
            return np.zeros((0, self.card.top_k, ROW), np.float32)
        parts = [self._bound(tiles[i : i + self.batch]) for i in range(0, len(tiles), self.batch)]
        return np.concatenate(parts)

    def _bound(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Run a batch that is copied to the device once and of which only the rows come back.

        A batch that is not full is filled up: for every new size a GPU would choose its kernels anew.
        """
        count = len(tiles)
        if count < self.batch:
            tiles = np.concatenate([tiles, np.zeros((self.batch - count, *tiles.shape[1:]), np.uint8)])
        memory = "cpu" if self.device == "cpu" else "cuda"
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(
            "tiles", onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tiles), memory, 0)
        )
        binding.bind_output("detections", "cpu")
        self._session.run_with_iobinding(binding)
        rows: npt.NDArray[np.float32] = binding.copy_outputs_to_cpu()[0][:count]
        return rows

    def _kept(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self.card.calibration:
            rows = rows[rows[:, 5] >= FLOOR]
            rows[:, 5] = self.card.probabilities(rows[:, 5], rows[:, 6])
        rows = rows[rows[:, 5] >= self._thresholds[rows[:, 6].astype(np.int64)]]
        return np.ascontiguousarray(rows[np.argsort(-rows[:, 5], kind="stable")], np.float32)


def _providers(device: Device) -> list[tuple[str, dict[str, str]]]:
    """Execution providers of onnxruntime with their options, the wanted one first.

    Raises:
        OptionError: This onnxruntime has none for that device.
    """
    if device not in get_args(Device):
        raise OptionError(f"expected a device of {', '.join(get_args(Device))}, got {device}")
    available = onnxruntime.get_available_providers()
    if device == "auto":
        device = "cuda" if _PROVIDERS["cuda"] in available else "cpu"
    if _PROVIDERS[device] not in available:
        raise OptionError(
            f"expected an onnxruntime that runs on {device}, got one for "
            f"{', '.join(name for name, p in _PROVIDERS.items() if p in available)}: install onnxruntime-gpu"
        )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pithead"
    options = {
        "cpu": {},
        "cuda": {"use_tf32": "0"},  # what is faster in less precision is said so: half-precision weights
        "tensorrt": {
            "trt_fp16_enable": "1",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache),
        },
    }
    chain = {"cpu": ["cpu"], "cuda": ["cuda", "cpu"], "tensorrt": ["tensorrt", "cuda", "cpu"]}[device]
    return [(_PROVIDERS[name], options[name]) for name in chain]


def _check_device(device: Device, session: onnxruntime.InferenceSession) -> None:
    """Refuse a session that has silently gone to another device than was asked for.

    Raises:
        OptionError: The device is another.
    """
    got = session.get_providers()[0]
    if device != "auto" and got != _PROVIDERS[device]:
        raise OptionError(
            f"expected to run on {device}, onnxruntime chose {got}: check the driver and its libraries"
        )


def _session(
    path: Path, content: bytes, threads: int | None, providers: list[tuple[str, dict[str, str]]]
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    options.use_deterministic_compute = True
    # Threads that spin between tiles take the core from the thread that reads the next one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = min(threads, os.cpu_count() or threads)
    try:
        return onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime raises a family of its own without a public parent
        raise WeightsError(f"expected an ONNX model at {path}, onnxruntime says: {error}") from error


def _check_contract(path: Path, session: onnxruntime.InferenceSession, card: Card) -> None:
    inputs = [(i.name, i.type, i.shape[1:]) for i in session.get_inputs()]
    outputs = [(o.name, o.type, o.shape[2:]) for o in session.get_outputs()]
    if inputs != [("tiles", "tensor(uint8)", [card.tile_px, card.tile_px, 3])]:
        expected = f"one input 'tiles' uint8 (N, {card.tile_px}, {card.tile_px}, 3)"
        raise CardError(f"{path}: expected {expected}, got {inputs}; export with training/export.py")
    if outputs != [("detections", "tensor(float)", [ROW])]:
        raise CardError(f"{path}: expected one output 'detections' float (N, K, {ROW}), got {outputs}")
