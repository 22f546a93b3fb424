"""What is let in as an image: by its first bytes and its header, never by its name."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pithead.server.headers import Header
from pithead.server.problems import Problem
from pithead.server.uploads import checked, kind_of

WIDTH, HEIGHT = 90, 70
ROOM = {"pixels": 10**8, "block_bytes": 2**28}


def picture(kind: str, **options: Any) -> bytes:  # noqa: ANN401 (as Pillow takes them)
    file = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def geotiff(path: Path, dtype: str = "uint16", **options: Any) -> Path:  # noqa: ANN401 (as GDAL)
    with rasterio.open(
        path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=3, dtype=dtype, **options
    ) as file:
        file.write(np.ones((3, HEIGHT, WIDTH), dtype))
    return path


def put(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return path


def refusal(path: Path, **room: int) -> Problem:
    with pytest.raises(Problem) as caught:
        checked(path, **(ROOM | room))
    assert str(path) not in caught.value.detail
    return caught.value


def status(path: Path) -> int:
    """200 for a file that may be opened."""
    try:
        told = checked(path, **ROOM)
    except Problem as problem:
        return problem.status_code
    return 200 if told.header.width * told.header.height <= ROOM["pixels"] else 0


@pytest.mark.parametrize(
    ("kind", "options", "driver", "block"),
    [
        ("PNG", {}, "PNG", WIDTH * 3),  # a row
        ("JPEG", {}, "JPEG", WIDTH * 3),
        ("JPEG", {"progressive": True}, "JPEG", WIDTH * HEIGHT * 3 * 2),  # held whole, 2 bytes a value
        ("WEBP", {}, "WEBP", WIDTH * HEIGHT * 4),
        ("WEBP", {"lossless": True}, "WEBP", WIDTH * HEIGHT * 4),
        ("WEBP", {"icc_profile": b"x" * 12}, "WEBP", WIDTH * HEIGHT * 4),  # the extended form
        ("JPEG2000", {}, "JP2OpenJPEG", WIDTH * HEIGHT * 3 * 4),
        ("TIFF", {}, "GTiff", WIDTH * HEIGHT * 3),  # one strip
    ],
)
def test_pictures_are_known_by_their_bytes(
    tmp_path: Path, kind: str, options: dict[str, Any], driver: str, block: int
) -> None:
    told = checked(put(tmp_path, picture(kind, **options)), **ROOM)
    assert told.driver == driver
    assert told.header == Header(WIDTH, HEIGHT, 3, 8, block)


@pytest.mark.parametrize(
    ("options", "block"),
    [
        ({"tiled": True, "blockxsize": 32, "blockysize": 16, "interleave": "pixel"}, 32 * 16 * 3 * 2),
        ({"tiled": True, "blockxsize": 32, "blockysize": 16, "interleave": "band"}, 32 * 16 * 2),
        ({"blockysize": 5, "interleave": "pixel", "BIGTIFF": "YES"}, WIDTH * 5 * 3 * 2),
        ({"blockysize": 5, "interleave": "pixel", "ENDIANNESS": "BIG"}, WIDTH * 5 * 3 * 2),
        ({"blockysize": 5, "interleave": "pixel", "compress": "deflate"}, WIDTH * 5 * 3 * 2),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_tiffs_tell_their_blocks(tmp_path: Path, options: dict[str, Any], block: int) -> None:
    told = checked(geotiff(tmp_path / "a.tif", **options), **ROOM)
    assert told.header == Header(WIDTH, HEIGHT, 3, 16, block)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"II",
        b"this is text",
        b'<VRTDataset rasterXSize="1" rasterYSize="1"/>',
        b"GIF89a\x01\0\x01\0\0\0\0",
        b"BM\0\0\0\0",
        b"RIFF\0\0\0\0WAVE",
        b"\xff\x4f\xff\x51\0\x2f",  # a codestream of JPEG 2000 without its boxes
        b"\x89HDF\r\n\x1a\n",
        b"%PDF-1.7",
    ],
)
def test_anything_else_is_415(tmp_path: Path, content: bytes) -> None:
    assert refusal(put(tmp_path, content)).status_code == 415


def test_a_name_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(picture("JPEG"))
    assert checked(path, **ROOM).name == "JPEG"


def test_too_many_pixels_are_413(tmp_path: Path) -> None:
    path = put(tmp_path, picture("PNG"))
    assert checked(path, pixels=WIDTH * HEIGHT, block_bytes=2**28).header.width == WIDTH
    assert refusal(path, pixels=WIDTH * HEIGHT - 1).status_code == 413


def one_bit_tiff(side: int, rows: int, metadata: str = "") -> bytes:
    """A deflated TIFF of 1 bit that says it is side × side px in strips of so many rows, but empty."""
    text = metadata.encode() + b"\0"
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 1), (259, 3, 1, 8), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, rows), (279, 4, 1, 8)]
    if metadata:
        tags.append((42112, 2, len(text), 8 + 2 + 12 * (len(tags) + 1) + 4))
    table = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + table + b"\0\0\0\0"
    return head + (text if metadata else b"")


def test_a_bomb_of_bits_is_413(tmp_path: Path) -> None:
    # 100,000 × 100,000 px in one strip: 10 GB once it is unpacked, of a file of 122 bytes.
    path = put(tmp_path, one_bit_tiff(100_000, 100_000))
    assert refusal(path).title == "Too many pixels"
    told = refusal(path, pixels=20_000_000_000)
    assert (told.status_code, told.title) == (413, "Too large blocks")
    assert "10000000000" in told.detail
    rows = put(tmp_path, one_bit_tiff(100_000, 1))
    assert checked(rows, pixels=20_000_000_000, block_bytes=2**28).header.block_bytes == 100_000


def test_interlaced_png_is_held_whole(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 20_000, 5_000, 8, 2, 0, 0, 1)
    path = put(tmp_path, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + head)
    assert refusal(path).title == "Too large blocks"  # 300 MB


@pytest.mark.parametrize(
    "item",
    [
        '<Item name="OVERVIEW_FILE" domain="OVERVIEWS">/etc/passwd</Item>',
        '<Item name="overview_file" domain="overviews">/vsicurl/http://127.0.0.1:9/x.tif</Item>',
        '<Item name="OVERVIEW&#95;FILE" domain="OVERVIEWS">x.tif</Item>',
        '<Item name="X_DATASET" domain="GEOLOCATION">x.tif</Item>',
        '<Item domain="xml:VRT">&lt;VRTDataset/&gt;</Item>',
    ],
)
def test_a_tiff_that_points_at_other_files_is_422(tmp_path: Path, item: str) -> None:
    told = refusal(put(tmp_path, one_bit_tiff(10, 10, f"<GDALMetadata>{item}</GDALMetadata>")))
    assert (told.status_code, "point at other files" in told.detail) == (422, True)
    harmless = '<GDALMetadata><Item name="SENSOR">OVERVIEW</Item></GDALMetadata>'
    assert checked(put(tmp_path, one_bit_tiff(10, 10, harmless)), **ROOM).header.width == 10


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gdal_writes_such_a_tiff(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/vsicurl/http://127.0.0.1:9/x.tif")
    assert "point at other files" in refusal(path).detail


def test_a_circle_of_directories_is_422(tmp_path: Path) -> None:
    content = one_bit_tiff(10, 10)[:-4] + struct.pack("<I", 8)
    assert "circle" in refusal(put(tmp_path, content)).detail


def test_an_overview_must_not_be_larger_than_the_image(tmp_path: Path) -> None:
    first = one_bit_tiff(10, 10)
    second = one_bit_tiff(90_000, 1)[8:]
    content = first[:-4] + struct.pack("<I", len(first)) + second
    assert refusal(put(tmp_path, content)).status_code == 422


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "JPEG2000", "TIFF"])
def test_headers_that_are_cut_off_are_4xx(tmp_path: Path, kind: str) -> None:
    whole = picture(kind)
    for count in [*range(60), *range(60, len(whole), 97)]:
        assert status(put(tmp_path, whole[:count])) in {200, 415, 422}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_headers_are_taken_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "JPEG2000", "TIFF"]))
    content = bytearray(picture(kind))
    # The directory of a TIFF of Pillow is at its end, all other headers are at the beginning.
    places = st.integers(-200, -1) if kind == "TIFF" else st.integers(0, 120)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    path = put(tmp_path_factory.mktemp("fuzz"), bytes(content))
    assert status(path) in {200, 413, 415, 422}


def test_kind_needs_only_the_head() -> None:
    assert kind_of(picture("WEBP")[:12]) == "WebP"
