"""What the directories of a TIFF say, read without decoding a pixel.

Source: TIFF 6.0, section 2 (directories); https://www.awaresystems.be/imaging/tiff/bigtiff.html.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pithead.server.headers import MOST_TEXT, Header, HeaderError, Source, check_text, stored

_MOST_DIRECTORIES: Final = 64
_MOST_ENTRIES: Final = 1024
_SIZES: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_WHOLE: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_WIDTH, _HEIGHT, _BITS, _BANDS, _ROWS, _PLANES = 256, 257, 258, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _GDAL_METADATA = 322, 323, 42112


@dataclass(frozen=True, slots=True)
class _Entry:
    """Of one tag: the type and number of its values, and where they are."""

    kind: int
    count: int
    place: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """Of classic TIFF or BigTIFF: byte order, and the formats and sizes of a directory's parts."""

    order: str
    count: str
    entry: str
    offset: str

    def sizes(self) -> tuple[int, int, int]:
        """Bytes of the number of entries, of an entry, and of an offset."""
        count, entry, offset = (
            struct.calcsize(self.order + part) for part in (self.count, self.entry, self.offset)
        )
        return count, entry, offset


def read_tiff(source: Source) -> Header:
    """The header of the image; of overviews and masks the larger block counts.

    Raises:
        HeaderError: It is cut off, says what cannot be, or points at other files.
    """
    headers = [_header(source, layout, entries) for layout, entries in _directories(source)]
    first = headers[0]
    if any(one.width * one.height > first.width * first.height for one in headers):
        raise HeaderError("expected a TIFF whose first image is the largest, got a larger one behind it")
    return Header(first.width, first.height, first.bands, first.bits, max(one.block_bytes for one in headers))


def _directories(source: Source) -> Iterator[tuple[_Layout, Mapping[int, _Entry]]]:
    order = "<" if source.at(0, 2) == b"II" else ">"
    (version,) = struct.unpack(order + "H", source.at(2, 2))
    layout = _Layout(order, "Q", "HHQ8s", "Q") if version == 43 else _Layout(order, "H", "HHI4s", "I")
    count_size, entry_size, offset_size = layout.sizes()
    (place,) = struct.unpack(order + layout.offset, source.at(8 if version == 43 else 4, offset_size))
    seen: set[int] = set()
    while place or not seen:
        if place in seen or len(seen) == _MOST_DIRECTORIES:
            raise HeaderError(f"expected a TIFF of at most {_MOST_DIRECTORIES} images, got more or a circle")
        seen.add(place)
        (count,) = struct.unpack(order + layout.count, source.at(place, count_size))
        if not 0 < count <= _MOST_ENTRIES:
            raise HeaderError(f"expected a TIFF directory of 1 to {_MOST_ENTRIES} entries, got {count}")
        table = source.at(place + count_size, count * entry_size)
        yield layout, _entries(source, layout, table, place + count_size)
        (place,) = struct.unpack(
            order + layout.offset, source.at(place + count_size + count * entry_size, offset_size)
        )


def _entries(source: Source, layout: _Layout, table: bytes, start: int) -> Mapping[int, _Entry]:
    """The entries by their tags; each lies within the file."""
    _, entry_size, offset_size = layout.sizes()
    entries: dict[int, _Entry] = {}
    for i, (tag, kind, count, value) in enumerate(struct.iter_unpack(layout.order + layout.entry, table)):
        size = _SIZES.get(kind, 1) * count
        place = start + (i + 1) * entry_size - offset_size
        if size > offset_size:
            (place,) = struct.unpack(layout.order + layout.offset, value)
        if place + size > source.size:
            raise HeaderError(
                f"expected {place + size} bytes or more, got a file of {source.size}: truncated or damaged"
            )
        entries.setdefault(tag, _Entry(kind, count, place))
    return entries


def _header(source: Source, layout: _Layout, entries: Mapping[int, _Entry]) -> Header:
    def whole(tag: int, otherwise: int) -> int:
        """The largest of the first values of a tag that holds whole numbers."""
        if tag not in entries:
            return otherwise
        entry = entries[tag]
        if entry.kind not in _WHOLE or not entry.count:
            raise HeaderError(f"expected whole numbers in the TIFF tag {tag}, got type {entry.kind}")
        count = min(entry.count, 64)
        told = source.at(entry.place, count * _SIZES[entry.kind])
        return int(max(struct.unpack(f"{layout.order}{count}{_WHOLE[entry.kind]}", told)))

    width, height = whole(_WIDTH, 0), whole(_HEIGHT, 0)
    bits, bands = whole(_BITS, 1), whole(_BANDS, 1)
    if bits > 64:
        raise HeaderError(f"expected values of at most 64 bits, got {bits}")
    if _TILE_WIDTH in entries:
        block = whole(_TILE_WIDTH, 0) * whole(_TILE_HEIGHT, 0)
    else:
        block = width * min(whole(_ROWS, height) or height, height)
    together = 1 if whole(_PLANES, 1) == 2 else bands
    if metadata := entries.get(_GDAL_METADATA):
        size = metadata.count * _SIZES.get(metadata.kind, 1)
        if size > MOST_TEXT:
            raise HeaderError(f"expected at most {MOST_TEXT} bytes of metadata, got {size}")
        check_text(source.at(metadata.place, size))
    return Header(width, height, bands, bits, block * together * stored(bits))
