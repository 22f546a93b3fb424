"""An ONNX file and its card as a detector: tiles in, rows out. The only module that imports onnxruntime."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from pithead.card import METADATA_KEY, Card
from pithead.errors import CardError, OptionError, WeightsError

ROW = 7  # cx, cy, w, h, angle, score, class


class Detector:
    """Weights that are ready to run; the same tiles give the same rows, whatever batch they come in.

    Attributes:
        card: The facts inside the file.
        sha256: Hash of the file.
        path: Where it came from.
    """

    __slots__ = ("_session", "_thresholds", "card", "path", "sha256")

    def __init__(self, path: Path, session: onnxruntime.InferenceSession, card: Card, sha256: str) -> None:
        """Take what `open` has checked."""
        self.path, self._session, self.card, self.sha256 = path, session, card, sha256
        self._thresholds = np.array(card.thresholds, np.float32)

    @classmethod
    def open(cls, path: str | Path, *, threads: int | None = None) -> "Detector":
        """Open an ONNX file on the GPU if onnxruntime has one, else on the CPU.

        Args:
            path: The file.
            threads: CPU threads, None for one per physical core.

        Raises:
            WeightsError: The file is missing or no ONNX model.
            CardError: It has no card, or its inputs and outputs are not those of the contract.
        """
        path = Path(path)
        if threads is not None and threads < 1:
            raise OptionError(f"expected at least 1 thread, got {threads}")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WeightsError(
                f"expected weights at {path}: {error.strerror}; give the path of an .onnx"
            ) from error
        session = _session(path, content, threads)
        metadata = session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in metadata:
            raise CardError(f"{path} has no card of pithead; export the weights with training/export.py")
        card = Card.from_json(metadata[METADATA_KEY])
        _check_contract(path, session, card)
        return cls(path, session, card, hashlib.sha256(content).hexdigest())

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
        asked = Detector(self.path, self._session, self.card, self.sha256)
        if min_score is not None:
            asked._thresholds = np.full(len(known), min_score, np.float32)
        if names:
            asked._thresholds[[name not in names for name in known]] = np.inf
        return asked

    def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Return the rows (k, 7) of each tile of (N, H, W, 3) uint8 RGB, best score first.

        A row is cx, cy, w, h in tile px, angle of the long side in [-pi/2, pi/2), score, class; rows under
        the threshold of their class are left out.

        Raises:
            OptionError: The tiles have another shape or type.
        """
        return [self._kept(rows) for rows in self.raw(tiles)]

    def raw(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return every row that the graph gives, (N, K, 7), whatever its score.

        Raises:
            OptionError: The tiles have another shape or type.
        """
        side = self.card.tile_px
        if tiles.ndim != 4 or tiles.shape[1:] != (side, side, 3) or tiles.dtype != np.uint8:
            raise OptionError(f"expected tiles (N, {side}, {side}, 3) uint8, got {tiles.shape} {tiles.dtype}")
        if not len(tiles):
            return np.zeros((0, self.card.top_k, ROW), np.float32)
        # One tile at a time on the CPU: onnxruntime is as fast so, and sums may differ between batch sizes.
        groups = [tiles] if self._on_gpu() else [tiles[i : i + 1] for i in range(len(tiles))]
        found = [self._session.run(["detections"], {"tiles": np.ascontiguousarray(g)})[0] for g in groups]
        return np.concatenate(found)

    def _kept(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        rows = rows[rows[:, 5] >= self._thresholds[rows[:, 6].astype(np.int64)]]
        return np.ascontiguousarray(rows[np.argsort(-rows[:, 5], kind="stable")], np.float32)

    def _on_gpu(self) -> bool:
        return bool(self._session.get_providers()[0] == "CUDAExecutionProvider")


def _session(path: Path, content: bytes, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    options.use_deterministic_compute = True
    # Threads that spin between tiles take the core from the thread that reads the next one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = min(threads, os.cpu_count() or threads)
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
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
