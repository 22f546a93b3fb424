"""What the header of an image says, read without decoding a pixel: its size, its bands, its largest block.

Plain Python on a few hundred bytes, so that no file can crash whoever reads it. Of TIFFs it is `tiff`.
"""

import html
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import SEEK_END
from typing import BinaryIO, Final

MOST_TEXT: Final = 4 * 2**20
_MOST_SEGMENTS: Final = 4096
_REFERENCE: Final = re.compile(
    r"overview_file|proxy_overview|domain\s*=\s*.?overviews|x_dataset|y_dataset|<vrtdataset|xml:vrt",
    re.IGNORECASE,
)
"""Metadata by which GDAL opens other files than the one it was given."""


class HeaderError(Exception):
    """A header that is cut off or says what cannot be; the message goes to the client."""


@dataclass(frozen=True, slots=True)
class Header:
    """Of one image: pixels, bands, bits of a value, and the bytes that its largest block unpacks to."""

    width: int
    height: int
    bands: int
    bits: int
    block_bytes: int

    def __post_init__(self) -> None:
        """Refuse an image without a pixel.

        Raises:
            HeaderError: A number is below 1.
        """
        if min(self.width, self.height, self.bands, self.bits) < 1:
            raise HeaderError(
                f"expected an image with pixels, got {self.width} × {self.height} px of {self.bands} bands"
            )


class Source:
    """A file that is read by places, and says so where it ends too early."""

    def __init__(self, file: BinaryIO) -> None:
        """Measure an open file."""
        self._file = file
        self.size = file.seek(0, SEEK_END)

    def at(self, offset: int, count: int) -> bytes:
        """So many bytes from there.

        Raises:
            HeaderError: The file ends before them.
        """
        if offset < 0 or offset + count > self.size:
            raise HeaderError(
                f"expected {offset + count} bytes or more, got a file of {self.size}: truncated"
            )
        self._file.seek(offset)
        return self._file.read(count)


def check_text(text: bytes) -> None:
    """Refuse metadata that names other files for GDAL to open.

    Raises:
        HeaderError: It does.
    """
    if _REFERENCE.search(html.unescape(text.decode("latin-1"))):
        raise HeaderError("expected an image of one file, got metadata that point at other files")


def stored(bits: int) -> int:
    """The bytes of a value once it is unpacked: bits become bytes."""
    return max(1, -(-bits // 8))


def _png(source: Source) -> Header:
    """Source: PNG specification, 11.2.1 (IHDR)."""
    length, kind, width, height, bits, colour, _, _, interlaced = struct.unpack(
        ">I4sIIBBBBB", source.at(8, 21)
    )
    bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour)
    if (length, kind) != (13, b"IHDR") or bands is None or bits not in {1, 2, 4, 8, 16}:
        raise HeaderError("expected a PNG that begins with its header, got a damaged one")
    rows = height if interlaced else 1
    return Header(width, height, bands, bits, width * rows * bands * stored(bits))


def _jpeg(source: Source) -> Header:
    """Source: ITU-T T.81, B.2.2 (frame header). A progressive image is held whole, two bytes a value."""
    place = 2
    for _ in range(_MOST_SEGMENTS):
        mark, kind = source.at(place, 2)
        if mark != 0xFF:
            break
        if kind == 0xFF or 0xD0 <= kind <= 0xD8:  # fill bytes and marks without a length
            place += 1 if kind == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", source.at(place + 2, 2))
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:
            bits, height, width, bands = struct.unpack(">BHHB", source.at(place + 4, 6))
            block = width * bands * (1 if kind in {0xC0, 0xC1} else height * 2)
            return Header(width, height, bands, bits, block)
        if kind in {0xD9, 0xDA} or length < 2:
            break
        place += 2 + length
    raise HeaderError("expected a JPEG with a frame header, got none")


def _webp(source: Source) -> Header:
    """Source: RFC 9649, 2.5 to 2.7. It is decoded whole, four bytes a pixel."""
    kind = source.at(8, 8)
    if kind == b"WEBPVP8 ":
        start, width, height = struct.unpack("<3sHH", source.at(23, 7))
        if start != b"\x9d\x01\x2a":
            raise HeaderError("expected a WebP with a key frame, got none")
        size = width & 0x3FFF, height & 0x3FFF
    elif kind == b"WEBPVP8L":
        mark, packed = struct.unpack("<BI", source.at(20, 5))
        if mark != 0x2F:
            raise HeaderError("expected a lossless WebP, got a damaged one")
        size = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"WEBPVP8X":
        told = source.at(20, 10)
        if told[0] & 2:
            raise HeaderError("expected a WebP of one image, got an animation")
        size = int.from_bytes(told[4:7], "little") + 1, int.from_bytes(told[7:10], "little") + 1
    else:
        raise HeaderError("expected a WebP with an image, got none")
    return Header(*size, 3, 8, size[0] * size[1] * 4)


def _jp2(source: Source) -> Header:
    """Source: ITU-T T.800, I.4 (boxes) and A.5.1 (SIZ). A tile is decoded whole, four bytes a value.

    GDAL heeds boxes behind the codestream too, so all of them are looked at.
    """
    place, header = 0, None
    for _ in range(_MOST_SEGMENTS):
        if place == source.size:
            break
        length, kind = struct.unpack(">I4s", source.at(place, 8))
        head = 8
        if length == 1:
            (length,) = struct.unpack(">Q", source.at(place + 8, 8))
            head = 16
        if kind == b"jp2c":
            header = header or _codestream(source, place + head)
            if length == 0:  # to the end of the file
                return header
        elif head <= length <= MOST_TEXT:
            check_text(source.at(place + head, length - head))
        if length < head or (kind != b"jp2c" and length > MOST_TEXT):
            raise HeaderError("expected a JPEG 2000 of whole boxes, got a damaged one")
        place += length
    if header is None or place != source.size:
        raise HeaderError("expected a JPEG 2000 with a codestream and whole boxes, got none")
    return header


def _codestream(source: Source, place: int) -> Header:
    marks, _, _, *sizes, bands = struct.unpack(">4sHH8IH", source.at(place, 42))
    x1, y1, x0, y0, tile_width, tile_height = sizes[:6]
    if marks != b"\xff\x4f\xff\x51" or x1 <= x0 or y1 <= y0:
        raise HeaderError("expected a JPEG 2000 that says its size, got none")
    bits = (source.at(place + 42, 1)[0] & 0x7F) + 1
    width, height = x1 - x0, y1 - y0
    tile = min(tile_width, width) * min(tile_height, height)
    return Header(width, height, bands, bits, tile * bands * 4)


READERS: Final[Mapping[str, Callable[[Source], Header]]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WebP": _webp,
    "JPEG 2000": _jp2,
}
