"""Tiles that show the same: equal but for brightness, compression, a turn or a mirror."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

HASH_SIDE = 16
NEAR_BITS = 40
"""Of the 256 bits of two hashes so many may differ; then the thumbnails are compared."""
SAME = 0.96
"""From this correlation of their thumbnails on two tiles show the same."""
THUMB_SIDE = 32
PLAIN = 2.0
"""Grey levels of deviation under which a tile shows nothing by which it could be recognised."""
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Looks:
    """What tiles look like: hashes (N, 4) of 64 bits, thumbnails (N, 1024) of mean 0 and length 1.

    `plain` (N,) says which show nothing.
    """

    hashes: npt.NDArray[np.uint64]
    thumbs: npt.NDArray[np.float32]
    plain: npt.NDArray[np.bool_]


def looks_of(paths: Sequence[Path], *, turned: bool = False) -> Looks:
    """The looks of images; turned: the eight looks of each, one after the other (quarter turns, mirrors).

    The hash is the perceptual hash of the discrete cosine transform (imagehash).
    """
    hashes, thumbs, plain = [], [], []
    for path in paths:
        with Image.open(path) as image:
            grey = image.convert("L").resize((4 * HASH_SIDE, 4 * HASH_SIDE), Image.Resampling.LANCZOS)
        for view in _views(np.asarray(grey)) if turned else [np.asarray(grey)]:
            bits = imagehash.phash(Image.fromarray(view), hash_size=HASH_SIDE).hash
            hashes.append(np.packbits(bits.ravel()).view(np.uint64))
            small = view.reshape(THUMB_SIDE, 2, THUMB_SIDE, 2).mean(axis=(1, 3)).ravel()
            centred = small - small.mean()
            plain.append(centred.std() < PLAIN)
            thumbs.append(centred / max(float(np.linalg.norm(centred)), 1e-9))
    n = len(hashes)
    return Looks(
        np.array(hashes, np.uint64).reshape(n, HASH_SIDE**2 // 64),
        np.array(thumbs, np.float32).reshape(n, THUMB_SIDE**2),
        np.array(plain, np.bool_),
    )


def look_alikes(first: Looks, second: Looks) -> Iterator[tuple[int, int, float]]:
    """Pairs of indices that show the same, with their correlation; those that show nothing are left out."""
    for start in range(0, len(first.hashes), _CHUNK):
        part = first.hashes[start : start + _CHUNK]
        differ = np.bitwise_count(part[:, None] ^ second.hashes[None]).sum(axis=2, dtype=np.int64)
        for i, j in zip(*np.nonzero(differ <= NEAR_BITS), strict=True):
            a = int(start + i)
            correlation = float(first.thumbs[a] @ second.thumbs[j])
            if correlation >= SAME and not first.plain[a] and not second.plain[j]:
                yield a, int(j), correlation


def _views(grey: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    turns = [np.rot90(grey, k) for k in range(4)]
    return [np.ascontiguousarray(view) for turn in turns for view in (turn, turn[:, ::-1])]
