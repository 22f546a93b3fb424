"""A scene in small, kept in a file: else a map from afar would read all of a large scene for each tile."""

import io
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from pithead.errors import SceneError
from pithead.files import write_whole
from pithead.imagery import Scene
from pithead.server.pictures.plate import Plate, pixels_of, shrink_of

SIDE_PX: Final = 2048
"""The long side of an overview."""
_QUALITY: Final = 85
_KEPT: Final = 4  # in memory, of up to 16 MB each

Rgba = npt.NDArray[np.uint8]
"""(H, W, 4); the last is 255 where there is data, else 0."""


class NoOverviewError(Exception):
    """A scene in small is needed that nobody has made yet."""


def overview_of(plate: Plate, scene: Scene, folder: Path, *, make: bool = True) -> Rgba:
    """A scene with a long side of at most 2048 px: from the folder, where it is laid when it is made.

    Args:
        plate: The scene.
        scene: It, open.
        folder: Where scenes in small are kept.
        make: Whether it is made where it is not there, which takes as long as to read the whole scene.

    Raises:
        NoOverviewError: It is not there, and not to be made.
        SceneError: The file is damaged.
    """
    path = folder / f"{plate.key}.webp"
    if path.exists():
        return _kept(path)
    if not make:
        raise NoOverviewError
    content = _made(scene)
    with suppress(OSError):  # on a full disk the next one makes it again
        write_whole(path, content)
        return _kept(path)
    return _read(content)


def lay_overview(plate: Plate, folder: Path) -> None:
    """Lay a scene in small into the folder, if it is not there.

    Raises:
        SceneError: The file is gone, another or damaged, or there is no room.
    """
    path = folder / f"{plate.key}.webp"
    if path.exists():
        return
    with plate.opened() as scene:
        content = _made(scene)
    try:
        write_whole(path, content)
    except OSError as error:
        raise SceneError(
            "expected room for the scene in small, there is none on the server's disk"
        ) from error


def _made(scene: Scene) -> bytes:
    shrink = shrink_of((scene.width, scene.height), SIDE_PX)
    width, height = pixels_of(scene.width, shrink), pixels_of(scene.height, shrink)
    pixels = scene.read(0, 0, scene.width, scene.height, width, height)
    rgba = np.dstack([pixels.data, np.where(pixels.valid, np.uint8(255), np.uint8(0))])
    stream = io.BytesIO()
    Image.fromarray(rgba).save(stream, format="WEBP", quality=_QUALITY, method=2)
    return stream.getvalue()


@lru_cache(_KEPT)
def _kept(path: Path) -> Rgba:
    return _read(path.read_bytes())


def _read(content: bytes) -> Rgba:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGBA"))
