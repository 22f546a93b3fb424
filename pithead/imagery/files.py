"""Open a raster file, or say in one line why it cannot be used."""

import itertools
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession

from pithead.errors import SceneError

# Else GDAL keeps blocks in 5 % of the memory there is, and a scan grows with its scene. These MB hold a row
# of tiles of a scene 30,000 px wide; what the user has set in the environment stands.
os.environ.setdefault("GDAL_CACHEMAX", "256")
# GDAL's own errors pass through rasterio unwrapped when a file is closed, and have no public name.
READ_ERRORS = (CPLE_BaseError, RasterioError, OSError)
_MOST_BLOCKS_CHECKED = 4096
# How a whole file of these formats ends; a camera or editor may append a little after it.
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL_BYTES = 65_536
# Formats that first bytes tell. Others are told by a text anywhere near the start, and some of them read what
# that text names, any file or address: in the comment of a JPEG it made GDAL take the JPEG for a VRT.
_BEGINNINGS = {
    re.compile(rb"II[*+]\0|MM\0[*+]"): "GTiff",
    re.compile(rb"\x89PNG\r\n\x1a\n"): "PNG",
    re.compile(rb"\xff\xd8\xff"): "JPEG",
    re.compile(rb"RIFF....WEBP", re.DOTALL): "WEBP",
    re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n"): "JP2OpenJPEG",
}
_HEAD_BYTES = 12
_SCHEMES = {"http": "/vsicurl/http://", "https": "/vsicurl/https://", "s3": "/vsis3/"}
_REMOTE = (
    "/vsicurl",
    "/vsis3",
    "/vsigs",
    "/vsiaz",
    "/vsiadls",
    "/vsioss",
    "/vsiswift",
    "/vsihdfs",
    "/vsiwebhdfs",
)
# A scan makes few and large requests of one file. Sidecar files are not looked for: each would be a request,
# and a listing of the folder may be refused or endless. What the user has set in the environment stands.
_REMOTE_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",  # the directory of a COG in the first request
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # a stalled download ends; a slow one does not
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    # GDAL doubles each request that follows the one before, up to 128 of these, and tiles side by side do so
    # follow: in small units it never asks for much more than a tile needs.
    "CPL_VSIL_CURL_CHUNK_SIZE": "1024",
}


IMAGES = frozenset({".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".img"})
"""The endings by which scenes are found in a folder."""


def formats() -> frozenset[str]:
    """Names of all formats that GDAL can read or write here, as in GDAL_SKIP."""
    with rasterio.Env() as gdal:
        return frozenset(gdal.drivers())


def images_in(path: str, *, below: bool = False) -> list[str]:
    """The images of a folder, sorted, and with `below` those of folders in it; what is no folder is itself.

    Raises:
        SceneError: A folder has none.
    """
    if not is_local(path) or not Path(path).is_dir():
        return [path]
    inside = Path(path).rglob("*") if below else Path(path).iterdir()
    found = [str(file) for file in sorted(inside) if file.suffix.lower() in IMAGES and file.is_file()]
    if not found:
        raise SceneError(f"{path}: expected images ({', '.join(sorted(IMAGES))}), got none")
    return found


def gdal_path(path: str) -> str:
    """The name by which GDAL reads a path: `s3://a/b` is `/vsis3/a/b`, `https://a` is `/vsicurl/https://a`.

    Files and GDAL's own `/vsi…` paths stay as they are.

    Raises:
        SceneError: if it is an address of another kind.
    """
    # pathlib makes one slash of the two after a scheme.
    path = re.sub(r"\b(https?|s3):/+", r"\1://", path, count=1)
    scheme, colon, rest = path.partition("://")
    if not colon or path.startswith("/vsi"):
        return path
    if scheme not in _SCHEMES:
        raise SceneError(f"{path}: expected a file, https://, s3:// or a /vsi path of GDAL, got {scheme}://")
    return _SCHEMES[scheme] + rest


def is_local(path: str) -> bool:
    """Whether a path names a file of this machine and not a URL or one of GDAL's virtual file systems."""
    return not gdal_path(path).startswith("/vsi")


def is_remote(path: str) -> bool:
    """Whether reading a path goes over a network, even from inside an archive."""
    return not is_local(path) and any(system in gdal_path(path) for system in _REMOTE)


def told_name(path: str) -> str:
    """A path as it may stand in a record: an address without its query, user and password, which are keys."""
    address = re.sub(r"\b(https?|s3):/+", r"\1://", path, count=1)
    if is_local(path) or "://" not in address:
        return path
    return re.sub(r"://[^/@]*@", "://", address.partition("?")[0])


def _options(path: str) -> AbstractContextManager[object]:
    """GDAL's settings while a remote file is opened: files of this machine are opened without them."""
    if not is_remote(path):
        return nullcontext()
    wanted = {name: value for name, value in _REMOTE_OPTIONS.items() if name not in os.environ}
    # GDAL finds credentials by itself; rasterio would want boto3 for them.
    settings: AbstractContextManager[object] = rasterio.Env(session=DummySession(), **wanted)
    return settings


def _driver(path: str) -> str | None:
    """The one format that a file of this machine may be opened as, where its first bytes are those of one."""
    if not is_local(path):
        return None
    with Path(path).open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return next((name for beginning, name in _BEGINNINGS.items() if beginning.match(head)), None)


def open_dataset(path: str, overview: int | None = None) -> DatasetReader:
    """Open a raster for reading, at full resolution or at one of its overviews.

    Raises:
        SceneError: if there is no such file, or GDAL cannot read it as an image of real numbers.
    """
    if is_local(path) and not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "nothing there"
        raise SceneError(f"{path}: expected an image file, got {found}")
    options = {} if overview is None else {"overview_level": overview}
    try:
        with warnings.catch_warnings(), _options(path):
            # A scene without georeference is a case of its own, not a reason to warn.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset: DatasetReader = rasterio.open(gdal_path(path), driver=_driver(path), **options)
    except READ_ERRORS as error:
        remedy = "check the address and the network" if is_remote(path) else "fetch it again"
        raise SceneError(
            f"{path}: expected an image that GDAL can read, got none or a truncated one "
            f"({one_line(error)}); {remedy}"
        ) from error
    if dataset.count == 0 or np.dtype(dataset.dtypes[0]).kind not in "uif":
        what = "complex numbers" if dataset.count else "a container without bands"
        dataset.close()
        raise SceneError(f"{path}: expected bands of real numbers, got {what}; export one image as GeoTIFF")
    return dataset


def unreadable(path: str, error: BaseException) -> SceneError:
    """What is raised where a file that was opened cannot be read any further."""
    if is_remote(path):
        got, remedy = "no answer that serves", "check the network and try again"
    else:
        got, remedy = "a damaged or truncated file", "fetch it again"
    return SceneError(f"{path}: expected pixels, got {got} ({one_line(error)}); {remedy}")


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split())


def check_whole(dataset: DatasetReader, path: str) -> None:
    """Refuse a local file that ends before its last pixel, without reading the pixels.

    Raises:
        SceneError: if blocks of a TIFF lie beyond the end of the file, or a JPEG or PNG has no end.
    """
    if not is_local(path):
        return
    size = Path(path).stat().st_size
    if dataset.driver in _ENDINGS:
        with Path(path).open("rb") as file:
            file.seek(max(0, size - _TAIL_BYTES))
            whole = _ENDINGS[dataset.driver] in file.read()
        need = "its end mark"
    else:
        end = max(_block_ends(dataset), default=0) if dataset.driver == "GTiff" else 0
        whole, need = end <= size, f"{end} bytes"
    if not whole:
        raise SceneError(
            f"{path}: expected a whole file with {need}, got {size} bytes: truncated; fetch it again"
        )


def _block_ends(dataset: DatasetReader) -> Iterator[int]:
    """Where blocks of a TIFF end in the file: all of them, or a lattice of them if they are many."""
    block_height, block_width = dataset.block_shapes[0]
    columns = -(-dataset.width // block_width)
    rows = -(-dataset.height // block_height)
    xs, ys = range(columns), range(rows)
    if columns * rows > _MOST_BLOCKS_CHECKED:
        side = int(_MOST_BLOCKS_CHECKED**0.5)
        xs, ys = _spread(columns, side), _spread(rows, side)
    for y, x, band in itertools.product(ys, xs, {1, dataset.count}):
        offset = dataset.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
        length = dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
        if offset is not None and length is not None:  # a sparse block is not in the file
            yield int(offset) + int(length)


def _spread(count: int, most: int) -> range:
    """Indices spread over ``range(count)`` from the last one back, so that the last is among them."""
    step = -(-count // most)
    return range((count - 1) % step, count, step)


class Levels:
    """The file at full resolution, and its overviews once they are asked for."""

    def __init__(self, path: str, full: DatasetReader) -> None:
        """Take over an open file."""
        self._path = path
        self._factors = (1, *full.overviews(1))
        self._stack = ExitStack()
        self._open = {0: self._stack.enter_context(full)}

    @property
    def full(self) -> DatasetReader:
        """Every pixel."""
        return self._open[0]

    def at(self, shrink: float) -> DatasetReader:
        """The coarsest level that still has every pixel that a reading shrunk by ``shrink`` needs."""
        level = max((i for i, factor in enumerate(self._factors) if factor <= shrink * 1.01), default=0)
        if level not in self._open:
            self._open[level] = self._stack.enter_context(open_dataset(self._path, level - 1))
        return self._open[level]

    def close(self) -> None:
        """Close every level that was opened."""
        self._stack.close()
