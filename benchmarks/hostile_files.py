"""Files that mean no good, or are no good: each family by a seed, so that a bad answer can be had again."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from PIL import Image

MAGIC: Final = (
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"RIFF\x24\0\0\0WEBPVP8 ",
)
OTHER_TYPES: Final = (
    b"%PDF-1.7\n%\xe2\xe3\n1 0 obj<</Type/Catalog>>endobj\n",
    b"PK\x03\x04" + b"\0" * 200,
    b"<!doctype html><script>alert(1)</script>",
    b"\x7fELF\x02\x01\x01" + b"\0" * 200,
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
    b"BM" + b"\0" * 200,
    b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    b'{"type":"FeatureCollection","features":[]}',
    b"SQLite format 3\0" + b"\0" * 200,
    b"\x89HDF\r\n\x1a\n" + b"\0" * 200,
    b"CDF\x02" + b"\0" * 200,
    b"",
)
ELSEWHERE: Final = (
    "/etc/passwd",
    "/vsicurl/http://127.0.0.1:9/a.tif",
    "http://127.0.0.1:9/a.png",
    "/vsizip//etc/hosts",
    "/vsistdin/",
)
VRT: Final = (
    '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    "<SourceFilename>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
)
NAMES: Final = (
    "../../../etc/passwd",
    "a\0b.tif",
    "CON",
    "/vsicurl/http://127.0.0.1:9/x.tif",
    "x" * 5000,
    "<b>.png",
)
TAGS: Final = (
    254,
    256,
    257,
    258,
    259,
    262,
    273,
    277,
    278,
    279,
    284,
    317,
    322,
    323,
    324,
    325,
    330,
    338,
    339,
    34736,
    34735,
)


@dataclass(frozen=True, slots=True)
class Hostile:
    """One upload.

    Attributes:
        family: What is wrong with it.
        name: The file name that the client tells.
        data: The bytes.
    """

    family: str
    name: str
    data: bytes


@cache
def good(kind: str) -> bytes:
    """An image of 96 × 96 pixels that is as it should be."""
    pixels = np.random.default_rng(5).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def truncated(draw: random.Random) -> Hostile:
    """The beginning of a good image: some of its pixels are not there."""
    kind = draw.choice(("PNG", "JPEG", "TIFF", "WEBP", "JPEG2000"))
    whole = good(kind)
    return Hostile("truncated", f"cut.{kind.lower()}", whole[: draw.randrange(4, len(whole) * 3 // 4)])


def noise(draw: random.Random) -> Hostile:
    """Random bytes, or such after the first bytes of an image."""
    head = draw.choice((b"", *MAGIC))
    return Hostile("random bytes", "noise.tif", head + draw.randbytes(draw.randrange(0, 20_000)))


def other_type(draw: random.Random) -> Hostile:
    """A file of another type, sometimes named as an image."""
    name = draw.choice(("scene.tif", "tile.png", "a.pdf", "b.html"))
    return Hostile("wrong type", name, draw.choice(OTHER_TYPES))


def points_elsewhere(draw: random.Random) -> Hostile:
    """A recipe for fetching another file or address, sometimes named as an image."""
    content = VRT.format(draw.choice(ELSEWHERE)).encode()
    if draw.random() < 0.3:
        content = b"II*\0" + content
    return Hostile("points elsewhere", draw.choice(("a.vrt", "a.tif", "a.png")), content)


def polyglot(draw: random.Random) -> Hostile:
    """A good image by its first bytes that GDAL would take for a recipe of another file."""
    name, make = draw.choice(
        (("a.jpg", _jpeg_vrt), ("a.webp", _webp_label), ("a.jp2", _jp2_overview), ("a.tif", _tiff_metadata))
    )
    return Hostile("polyglot", name, make(draw.choice(ELSEWHERE)))


def hollow(draw: random.Random) -> Hostile:
    """A well-formed TIFF of many pixels, of which none is in the file."""
    side = draw.choice((50_000, 100_000, 140_000))
    tiles = (-(-side // 4096)) ** 2
    more = [(262, 3, 1, 1), (322, 4, 1, 4096), (323, 4, 1, 4096), (324, 4, tiles, 400), (325, 4, tiles, 400)]
    return Hostile("hollow", "hollow.tif", _tiff(side, side, [*more, (273, 4, 1, 400)], b"\0" * 4 * tiles))


def bomb(draw: random.Random) -> Hostile:
    """A few bytes that say they are thousands of millions of pixels."""
    make = draw.choice((_png_bomb, _tiff_bomb, _strip_bomb, _jpeg_bomb, _many_bands))
    return Hostile("bomb", "bomb.bin", make(draw))


def renamed(draw: random.Random) -> Hostile:
    """Bad bytes under a name that means to lead elsewhere."""
    return Hostile("bad name", draw.choice(NAMES), draw.choice(OTHER_TYPES))


def fuzzed(draw: random.Random) -> Hostile:
    """A TIFF in which entries of the directory say something else; a few are still images."""
    data = bytearray(_tiff(96, 96, [(273, 4, 1, 200), (279, 4, 1, 96 * 96)], b"\x50" * (96 * 96 + 200)))
    count = struct.unpack_from("<H", data, 8)[0]
    for _ in range(draw.randrange(1, 4)):
        at = 10 + 12 * draw.randrange(count)
        what = draw.randrange(4)
        if what == 0:
            struct.pack_into("<H", data, at, draw.choice(TAGS))
        elif what == 1:
            struct.pack_into("<H", data, at + 2, draw.randrange(0, 65536))
        elif what == 2:
            struct.pack_into("<I", data, at + 4, draw.choice((0, 2, 65535, 2**31, 2**32 - 1)))
        else:
            struct.pack_into("<I", data, at + 8, draw.choice((0, 8, 65535, 2**31 - 1, 2**32 - 1)))
    if draw.random() < 0.2:
        struct.pack_into("<I", data, 10 + 12 * count, 8)
    return Hostile("fuzzed tags", "fuzz.tif", bytes(data))


def flipped(draw: random.Random) -> Hostile:
    """A compressed image with bytes changed in its middle; some are still images."""
    kind = draw.choice(("PNG", "JPEG", "WEBP", "JPEG2000"))
    data = bytearray(good(kind))
    for _ in range(draw.randrange(20, 200)):
        data[draw.randrange(8, len(data))] = draw.randrange(256)
    return Hostile("flipped bytes", f"flipped.{kind.lower()}", bytes(data))


FAMILIES: Final[tuple[Callable[[random.Random], Hostile], ...]] = (
    truncated,
    noise,
    other_type,
    points_elsewhere,
    polyglot,
    hollow,
    bomb,
    renamed,
    fuzzed,
    flipped,
)


def hostile_files(count: int, seed: int) -> Iterator[Hostile]:
    """So many files, family by family in turn; the same seed gives the same bytes."""
    for number in range(count):
        yield FAMILIES[number % len(FAMILIES)](random.Random(f"{seed}-{number}"))  # noqa: S311 (no secret)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _jpeg_vrt(place: str) -> bytes:
    """A JPEG with a VRT in its comment, whose length has no byte 0: up to one texts are looked for."""
    plain, length = good("JPEG"), 0x2020
    comment = VRT.format(place).encode().ljust(length - 2)
    return b"\xff\xd8\xff\xfe" + struct.pack(">H", length) + comment + plain[2:]


def _webp_label(place: str) -> bytes:
    """A WebP by its first bytes, a label of PDS behind them."""
    label = (
        f'PDS_VERSION_ID = PDS3\r\nRECORD_TYPE = FIXED_LENGTH\r\nRECORD_BYTES = 64\r\n^IMAGE = "{place}"\r\n'
        "OBJECT = IMAGE\r\nLINES = 4\r\nLINE_SAMPLES = 64\r\nSAMPLE_TYPE = UNSIGNED_INTEGER\r\n"
        "SAMPLE_BITS = 8\r\nEND_OBJECT = IMAGE\r\nEND\r\n"
    )
    frame = b"AAAA\x10\x11\x12\x9d\x01\x2a\x40\x01\x40\x01"
    return b"RIFFAAAAWEBPVP8 " + frame + label.encode().ljust(4096)


def _jp2_overview(place: str) -> bytes:
    """A JPEG 2000 with a box behind its codestream that names a file of overviews."""
    text = _overviews_at(place)
    return good("JPEG2000") + struct.pack(">I4s", len(text) + 8, b"xml ") + text


def _tiff_metadata(place: str) -> bytes:
    text = _overviews_at(place)
    more = [(273, 4, 1, 400), (279, 4, 1, 96 * 96), (42112, 2, len(text), 400 + 96 * 96)]
    return _tiff(96, 96, more, b"\x50" * (96 * 96) + text)


def _overviews_at(place: str) -> bytes:
    return (
        '<GDALMultiDomainMetadata><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">'
        f"{place}</MDI></Metadata></GDALMultiDomainMetadata>"
    ).encode()


def _png_bomb(draw: random.Random) -> bytes:
    side = draw.choice((20_000, 100_000, 2**31 - 1))
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 2_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _tiff_bomb(draw: random.Random) -> bytes:
    """One bit a pixel, 100,000 pixels square, nearly all of it absent or zero."""
    body = zlib.compress(b"\0" * 1_000_000, 9)
    compression = draw.choice((1, 8, 32773))
    more = [(258, 3, 1, 1), (259, 3, 1, compression), (273, 4, 1, 400), (279, 4, 1, len(body))]
    return _tiff(100_000, 100_000, more, body)


def _strip_bomb(draw: random.Random) -> bytes:
    """Few enough pixels, of so many bytes each that one strip is gigabytes."""
    body = zlib.compress(b"\0" * 1_000_000, 9)
    bands = draw.choice((64, 4096, 65535))
    more = [(258, 3, 1, 8), (259, 3, 1, 8), (273, 4, 1, 400), (277, 3, 1, bands), (279, 4, 1, len(body))]
    return _tiff(9000, 9000, more, body)


def _many_bands(draw: random.Random) -> bytes:
    more = [(258, 3, 1, 8), (273, 4, 1, 400), (277, 3, 1, draw.choice((20_000, 65535))), (279, 4, 1, 64)]
    return _tiff(64, 64, more, b"\0" * 64)


def _jpeg_bomb(_: random.Random) -> bytes:
    data = bytearray(good("JPEG"))
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, 65500, 65500)
    return bytes(data)


def _tiff(width: int, height: int, more: list[tuple[int, int, int, int]], body: bytes) -> bytes:
    """A TIFF of one strip and one directory, little-endian; `more` are entries (tag, type, count, value)."""
    told = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    told |= {277: (3, 1, 1), 278: (4, 1, height)} | {tag: (kind, n, value) for tag, kind, n, value in more}
    entries = b"".join(struct.pack("<HHII", tag, *told[tag]) for tag in sorted(told))
    head = struct.pack("<2sHIH", b"II", 42, 8, len(told)) + entries + struct.pack("<I", 0)
    return head.ljust(told[273][2], b"\0") + body
