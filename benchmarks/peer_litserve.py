"""pithead's ONNX file behind LitServe: bytes in, the same windows, rows out as JSON; nothing is merged."""

import os
import sys
from pathlib import Path

import litserve
import numpy as np
import numpy.typing as npt
from fastapi import Request
from peer_windows import windows
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pithead.detector import Detector

THREADS = int(os.environ["PEER_THREADS"])


class Peer(litserve.LitAPI):  # type: ignore[misc]  # litserve publishes no types
    """One image a request."""

    def setup(self, device: str) -> None:
        """Open the weights."""
        del device
        self.detector = Detector.open(os.environ["PEER_WEIGHTS"], threads=THREADS, verify=False)

    def decode_request(self, request: Request) -> npt.NDArray[np.uint8]:
        """The pixels of the image in the form."""
        with Image.open(request["image"].file) as image:
            return np.asarray(image.convert("RGB"))

    def predict(self, pixels: npt.NDArray[np.uint8]) -> list[list[list[float]]]:
        """Rows of each window."""
        return [rows.tolist() for rows in self.detector.detect(windows(pixels, self.detector.card.tile_px))]


if __name__ == "__main__":
    litserve.LitServer(Peer(), accelerator="cpu", workers_per_device=1).run(
        port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False
    )
