"""What a client sends as an image is one, of a plain format and a size that can be read, before GDAL sees it.

GDAL reads 150 formats, some of which are recipes that fetch other files or addresses. So the first bytes of a
file decide, never its name, and its header is read in plain Python first: what would not fit into memory is
refused though its bytes are few.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pithead.server.headers import READERS, Header, HeaderError, Source
from pithead.server.problems import Problem
from pithead.server.tiff import read_tiff

MOST_BANDS: Final = 256
HEAD_BYTES: Final = 12
FORMATS: Final = "a TIFF, PNG, JPEG, WebP or JPEG 2000 image"


@dataclass(frozen=True, slots=True)
class Format:
    """What kind of image a file is.

    Attributes:
        name: As people call it.
        driver: As GDAL calls it.
        suffix: How its files end.
        media_type: As HTTP calls it.
        header: What the file says of itself.
    """

    name: str
    driver: str
    suffix: str
    media_type: str
    header: Header


_KINDS: Final = {
    "TIFF": ("GTiff", ".tif", "image/tiff"),
    "PNG": ("PNG", ".png", "image/png"),
    "JPEG": ("JPEG", ".jpg", "image/jpeg"),
    "WebP": ("WEBP", ".webp", "image/webp"),
    "JPEG 2000": ("JP2OpenJPEG", ".jp2", "image/jp2"),
}
DRIVERS: Final = tuple(driver for driver, _, _ in _KINDS.values())
"""All of GDAL that reads what clients send."""
_SIGNATURES: Final = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
}


def kind_of(head: bytes) -> str:
    """What kind of image begins with these bytes, the first 12 or more of it.

    Raises:
        Problem: 415, none that is taken.
    """
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    raise Problem(415, "No image", f"expected {FORMATS} by its first bytes, got something else")


def checked(path: str | Path, *, pixels: int, block_bytes: int) -> Format:
    """What kind of image a file is, if it may be opened.

    Args:
        path: Where it lies.
        pixels: The most it may have.
        block_bytes: The most that one block of it (strip, tile, or the whole of what is decoded as one) may
            unpack to.

    Raises:
        Problem: 415, it is none of the formats; 422, its header is cut off, says what cannot be, or points at
            other files; 413, it has more pixels, or larger blocks.
    """
    with Path(path).open("rb") as file:
        source = Source(file)
        name = kind_of(source.at(0, min(HEAD_BYTES, source.size)))
        try:
            header = read_tiff(source) if name == "TIFF" else READERS[name](source)
        except HeaderError as error:
            raise Problem(
                422, "Broken image", f"{error}; send it again, or save it anew as GeoTIFF"
            ) from error
    _check_size(header, pixels, block_bytes)
    driver, suffix, media_type = _KINDS[name]
    return Format(name, driver, suffix, media_type, header)


def _check_size(header: Header, pixels: int, block_bytes: int) -> None:
    size = f"{header.width} × {header.height}"
    if header.width * header.height > pixels:
        raise Problem(
            413, "Too many pixels", f"expected at most {pixels} pixels, got {size}; cut it into parts"
        )
    if header.bands > MOST_BANDS:
        raise Problem(422, "Too many bands", f"expected at most {MOST_BANDS} bands, got {header.bands}")
    if header.block_bytes > block_bytes:
        raise Problem(
            413,
            "Too large blocks",
            f"expected blocks of at most {block_bytes} bytes unpacked, got {header.block_bytes} of {size} "
            "pixels; save it as a tiled GeoTIFF",
        )
