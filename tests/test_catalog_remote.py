"""Scenes behind an address, and those of other catalogues: known without being fetched, and told apart."""

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from pithead.catalog import Catalog, Offer, renewed
from pithead.catalog.foreign import offers_of
from pithead.catalog.remote import address_of
from pithead.errors import CatalogError, SceneError
from pithead.sidefiles import Facts


@dataclass(slots=True)
class Server:
    """Files by their paths, with a version each, and what was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    status: int = 0
    """What every request is answered with, if it is not 0."""
    knows_head: bool = True
    cut: int = 0
    """So many bytes at the end are promised and not sent."""
    total: str = ""
    """What stands for the size where a part is sent; the size if it is empty."""


class Handler(BaseHTTPRequestHandler):
    """Serves files by HTTP, whole or by ranges."""

    protocol_version = "HTTP/1.1"
    server_files: Server

    def do_HEAD(self) -> None:
        if self.server_files.knows_head:
            self._answer(send=False)
        else:
            self._head(405, {})

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, *, send: bool) -> None:
        files = self.server_files
        files.asked.append(f"{self.command} {self.path}")
        content = files.files.get(self.path.split("?")[0])
        if content is None or files.status:
            self._head(files.status or 404, {})
            return
        more = {"ETag": f'"{etag}"'} if (etag := files.etags.get(self.path)) else {}
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = content if span is None else content[int(span[1]) : int(span[2]) + 1]
        if span is not None:
            more["Content-Range"] = (
                f"bytes {span[1]}-{int(span[1]) + len(part) - 1}/{files.total or len(content)}"
            )
        self._head(200 if span is None else 206, {"Content-Length": str(len(part)), **more})
        if send:
            files.sent += len(part)
            self.wfile.write(part[: len(part) - files.cut])
            self.close_connection = bool(files.cut)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", "Accept-Ranges": "bytes", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the library's)
        del format, args


@pytest.fixture
def server() -> Iterator[Server]:
    files = Server()
    handler = type("HandlerHere", (Handler,), {"server_files": files})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    files.address = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield files
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog.make(tmp_path / "archive")


def scene_bytes(tmp_path: Path, seed: int = 0) -> bytes:
    """A tiled scene of 2048 x 1024 px that no compression makes small."""
    path = tmp_path / f"{seed}.tif"
    profile = {"driver": "GTiff", "width": 2048, "height": 1024, "count": 3, "dtype": "uint8", "tiled": True}
    place = {"crs": CRS.from_epsg(32652), "transform": Affine(0.5, 0, 500_000, 0, -0.5, 4_400_000)}
    with rasterio.open(path, "w", **profile, **place) as out:
        out.write(np.random.default_rng(seed).integers(0, 255, (3, 1024, 2048), np.uint8))
    return path.read_bytes()


def put(server: Server, path: str, content: bytes, etag: str | None) -> str:
    server.files[path] = content
    if etag is None:
        server.etags.pop(path, None)
    else:
        server.etags[path] = etag
    return server.address + path


# --- identity


def test_a_remote_scene_is_known_by_a_fingerprint_and_not_fetched(
    catalog: Catalog, server: Server, tmp_path: Path
) -> None:
    content = scene_bytes(tmp_path)
    address = put(server, "/a.tif", content, "v1")
    (entry,) = catalog.add([address], facts=Facts(sensor="GE01"))
    assert server.sent < len(content) / 10
    assert (entry.href, entry.identity, entry.etag) == (address, "fingerprint", "v1")
    assert (entry.bytes, entry.mtime_ns, entry.width, entry.crs) == (len(content), 0, 2048, "EPSG:32652")
    facts = f'{{"address":"{address}","bytes":{len(content)},"etag":"v1"}}'
    assert entry.sha256 == hashlib.sha256(facts.encode()).hexdigest()
    assert entry.id == f"a-{entry.sha256[:12]}"
    # The Item calls it what it is.
    asset = json.loads((catalog.folder / "undated" / entry.id / f"{entry.id}.json").read_text())["assets"][
        "scene"
    ]
    assert "file:checksum" not in asset
    assert "pithead:sha256" not in asset
    assert asset["pithead:fingerprint"] == entry.sha256
    assert catalog.take([Offer(address)])[0].news == "known"


def test_states_of_a_fingerprint(catalog: Catalog, server: Server, tmp_path: Path) -> None:
    content = scene_bytes(tmp_path)
    address = put(server, "/a.tif", content, "v1")
    (entry,) = catalog.add([address])
    assert catalog.state(entry) == catalog.state(entry, verify=True) == "same"
    put(server, "/a.tif", content, "v2")
    assert catalog.state(entry) == catalog.state(entry, verify=True) == "changed"
    (taken,) = catalog.take([Offer(address)])
    assert (taken.news, taken.replaced) == ("new", (entry.id,))
    del server.files["/a.tif"]
    assert catalog.state(taken.entry) == "gone"
    server.status = 503
    with pytest.raises(SceneError, match="check the address and the network"):
        catalog.state(taken.entry)


def test_a_remote_scene_is_hashed_if_asked_for(catalog: Catalog, server: Server, tmp_path: Path) -> None:
    content = scene_bytes(tmp_path)
    address = put(server, "/a.tif", content, "v1")
    (entry,) = catalog.add([address], fetch=True)
    assert (entry.identity, entry.sha256) == ("bytes", hashlib.sha256(content).hexdigest())
    put(server, "/a.tif", content, "v2")
    assert catalog.state(entry) == "changed"  # so says the ETag,
    assert catalog.state(entry, verify=True) == "touched"  # the bytes say otherwise
    catalog.update([renewed(entry)])
    assert catalog.state(catalog.scenes()[0]) == "same"
    # A file of the same bytes is the same scene.
    copy = tmp_path / "copy.tif"
    copy.write_bytes(content)
    (taken,) = catalog.take([Offer(str(copy))])
    assert (taken.news, taken.entry.copies) == ("copy", (str(copy),))
    put(server, "/a.tif", content[:-1] + b"x", "v2")
    assert catalog.state(entry, verify=True) == "changed"


def test_a_remote_scene_that_is_gone_is_found_on_this_machine(
    catalog: Catalog, server: Server, tmp_path: Path
) -> None:
    content = scene_bytes(tmp_path)
    address = put(server, "/a.tif", content, "v1")
    catalog.take([Offer(address, sha256=hashlib.sha256(content).hexdigest())])
    copy = tmp_path / "copy.tif"
    copy.write_bytes(content)
    server.status = 503  # it may be there
    assert catalog.take([Offer(str(copy))])[0].news == "copy"
    server.status = 0
    del server.files["/a.tif"]
    (taken,) = catalog.take([Offer(str(copy))])
    assert (taken.news, taken.entry.href, taken.entry.copies) == ("moved", str(copy), ())
    assert (taken.entry.mtime_ns, taken.entry.etag) == (copy.stat().st_mtime_ns, None)
    # What was stated was read now.
    assert taken.amended == {"identity": ("stated", "bytes")}


def test_a_server_that_knows_neither_head_nor_etag(catalog: Catalog, server: Server, tmp_path: Path) -> None:
    content = scene_bytes(tmp_path)
    server.knows_head = False
    address = put(server, "/a.tif", content, None)
    (entry,) = catalog.add([address])
    assert (entry.bytes, entry.etag) == (len(content), None)
    assert catalog.state(entry) == "same"


def test_a_connection_that_breaks_off_is_no_other_file(
    catalog: Catalog, server: Server, tmp_path: Path
) -> None:
    address = put(server, "/a.tif", scene_bytes(tmp_path), "v1")
    (entry,) = catalog.add([address], fetch=True)
    server.cut = 1000
    for broken in (
        lambda: catalog.state(entry, verify=True),
        lambda: Catalog.make(tmp_path / "other").add([address], fetch=True),
    ):
        with pytest.raises(SceneError, match="the connection broke off"):
            broken()
    server.cut = 0
    assert catalog.state(entry, verify=True) == "same"


def test_a_server_that_does_not_know_the_size(catalog: Catalog, server: Server) -> None:
    server.knows_head, server.total = False, "*"
    with pytest.raises(SceneError, match="got no size"):
        catalog.add([put(server, "/a.tif", b"xx", "v1")])


def test_a_server_that_speaks_no_http(catalog: Catalog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"rubbish\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SceneError, match="got rubbish"):
            catalog.add([f"http://127.0.0.1:{listening.getsockname()[1]}/a.tif"])
        thread.join()


def test_what_is_not_there(catalog: Catalog, server: Server) -> None:
    with pytest.raises(SceneError, match="an address where there is none"):
        catalog.add([f"{server.address}/none.tif"])
    put(server, "/a.txt", b"no image at all", "v1")
    with pytest.raises(SceneError, match="expected an image that GDAL can read"):
        catalog.add([f"{server.address}/a.txt"])


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("https://host/a.tif", "https://host/a.tif"),
        ("https:/host/a.tif", "https://host/a.tif"),  # what pathlib makes of it
        ("/vsicurl/https://host/a.tif", "https://host/a.tif"),
        ("/vsis3/bucket/a.tif", "s3://bucket/a.tif"),
        ("https://host/get?id=7&v=2", "https://host/get?id=7&v=2"),
    ],
)
def test_addresses(path: str, address: str) -> None:
    assert address_of(path) == address


@pytest.mark.parametrize(
    "path",
    [
        "https://user:password@host/a.tif",
        "https://host/a.tif?X-Amz-Signature=SECRET&v=1",
        "https://host/a.tif?sv=2020&sig=SECRET",
        "https://host/a.tif?access_token=SECRET",
        "https://host/a.tif?api_key=SECRET",
    ],
)
def test_an_address_with_a_key_is_refused_without_telling_it(path: str) -> None:
    with pytest.raises(SceneError, match="without a key") as caught:
        address_of(path)
    assert "SECRET" not in str(caught.value)
    assert "password" not in str(caught.value)


def test_archives_inside_archives_are_refused(catalog: Catalog) -> None:
    with pytest.raises(SceneError, match="virtual path"):
        catalog.add(["/vsizip//data/a.zip/a.tif"])


# --- other catalogues


def item(name: str, href: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """An Item as providers of open data publish them."""
    asset = {
        "href": href,
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/view/v1.0.0/schema.json",
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
        ],
        "id": name,
        "geometry": {"type": "Point", "coordinates": [129, 39.7]},
        "bbox": [129, 39.7, 129, 39.7],
        "properties": {
            "datetime": "2021-03-04T05:06:07Z",
            "platform": "WV03",
            "gsd": 0.31,
            "view:off_nadir": 22.5,
            "view:sun_azimuth": 170.1,
            "view:sun_elevation": 33.3,
            "eo:cloud_cover": 12,
        },
        "links": [],
        "assets": {
            "visual": {**asset, **more},
            "thumbnail": {"href": "./a.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
            "meta": {"href": "./a.xml", "type": "text/xml", "roles": ["metadata"]},
        },
    }


TAKEN = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_a_collection_of_items_with_scenes_of_this_machine(catalog: Catalog, tmp_path: Path) -> None:
    content = scene_bytes(tmp_path, 3)
    stated = "1220" + hashlib.sha256(content).hexdigest()
    export = tmp_path / "export.json"
    document = {
        "type": "FeatureCollection",
        "features": [item("one", "./3.tif", **{"file:checksum": stated})],
    }
    export.write_text(json.dumps(document))
    (taken,) = catalog.take_stac(export, "Camp 15")
    entry = taken.entry
    assert (entry.href, entry.identity) == (str(tmp_path / "3.tif"), "bytes")
    assert (entry.acquired, entry.sensor, entry.off_nadir_deg) == (TAKEN, "WV03", 22.5)
    assert (entry.sun_azimuth_deg, entry.sun_elevation_deg, entry.cloud_percent) == (170.1, 33.3, 12)
    assert entry.sites == ("Camp 15",)
    assert catalog.take_stac(export)[0].news == "known"
    # What the user says comes first, and a side file before the other catalogue.
    (tmp_path / "3.IMD").write_text(
        'BEGIN_GROUP = IMAGE_1\nsatId = "WV02";\nmeanSunEl = 30;\nEND_GROUP = IMAGE_1\nEND;'
    )
    other = Catalog.make(tmp_path / "other")
    (again,) = other.take_stac(export, facts=Facts(cloud_percent=1))
    assert (again.entry.cloud_percent, again.entry.sensor, again.entry.sun_elevation_deg) == (1, "WV02", 30)
    assert again.entry.acquired == TAKEN


def test_a_file_that_is_not_what_its_catalogue_states(catalog: Catalog, tmp_path: Path) -> None:
    scene_bytes(tmp_path, 3)
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item("one", "./3.tif", **{"file:checksum": "1220" + "0" * 64})))
    with pytest.raises(SceneError, match="damaged or another one"):
        catalog.take_stac(path)
    # Nor is one that is known, and was read, taken for what another catalogue states.
    catalog.add([tmp_path / "3.tif"])
    with pytest.raises(SceneError, match="damaged or another one"):
        catalog.take_stac(path)
    # A hash of another kind is passed over.
    path.write_text(json.dumps(item("one", "./3.tif", **{"file:checksum": "1114" + "0" * 40})))
    assert catalog.take_stac(path)[0].news == "known"


def test_a_static_catalogue_with_remote_scenes(catalog: Catalog, server: Server, tmp_path: Path) -> None:
    first, second = scene_bytes(tmp_path, 1), scene_bytes(tmp_path, 2)
    stated = hashlib.sha256(first).hexdigest()
    put(server, "/scenes/1.tif", first, "v1")
    put(server, "/scenes/2.tif", second, "v1")
    root = pystac.Catalog("theirs", "Scenes of others.")
    child = pystac.Catalog("child", "More of them.")
    root.add_child(child)
    child.add_item(
        pystac.Item.from_dict(item("one", "../../scenes/1.tif", **{"file:checksum": "1220" + stated}))
    )
    child.add_item(pystac.Item.from_dict(item("two", f"{server.address}/scenes/2.tif")))
    root.normalize_and_save(str(tmp_path / "stac"), pystac.CatalogType.SELF_CONTAINED)
    for path in (tmp_path / "stac").rglob("*.json"):
        text = path.read_text().replace('"../../scenes/1.tif"', f'"{server.address}/scenes/1.tif"')
        put(server, f"/{path.relative_to(tmp_path)}", text.encode(), None)
    server.sent = 0
    taken = catalog.take_stac(f"{server.address}/stac/catalog.json")
    assert server.sent < len(first) / 5
    one, two = sorted((found.entry for found in taken), key=lambda entry: entry.href)
    assert (one.identity, one.sha256) == ("stated", stated)
    assert (two.identity, two.sensor) == ("fingerprint", "WV03")
    assert catalog.state(one, verify=True) == "same"
    untrusting = Catalog.make(tmp_path / "untrusting")
    kinds = {
        found.entry.identity
        for found in untrusting.take_stac(f"{server.address}/stac/catalog.json", trusted=False)
    }
    assert kinds == {"fingerprint"}


def test_a_stated_hash_that_is_wrong_is_found_by_fetching(
    catalog: Catalog, server: Server, tmp_path: Path
) -> None:
    address = put(server, "/1.tif", scene_bytes(tmp_path, 1), "v1")
    (tmp_path / "item.json").write_text(
        json.dumps(item("one", address, **{"file:checksum": "1220" + "0" * 64}))
    )
    (taken,) = catalog.take_stac(tmp_path / "item.json")
    assert catalog.state(taken.entry) == "same"
    assert catalog.state(taken.entry, verify=True) == "changed"
    with pytest.raises(SceneError, match="damaged or another one"):
        catalog.take_stac(tmp_path / "item.json", fetch=True)


def test_a_file_may_be_named_by_an_address(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(item("one", "file:///s/my%20scene.tif")))
    assert [offer.path for offer in offers_of(str(tmp_path / "x.json"))] == ["/s/my scene.tif"]


def test_which_asset_is_the_scene(tmp_path: Path) -> None:
    document = item("one", "/s/visual.tif")
    document["assets"] |= {
        "ms": {"href": "/s/ms.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]},
        "mask": {"href": "/s/mask.tif", "type": "image/tiff", "roles": ["data-mask"]},
        "bare": {"href": "/s/bare.tif"},
    }
    path = tmp_path / "item.json"

    def chosen(asset: str | None = None) -> str:
        path.write_text(json.dumps(document))
        (offer,) = offers_of(str(path), asset=asset)
        return offer.path

    assert chosen() == "/s/visual.tif"
    assert chosen("bare") == "/s/bare.tif"
    with pytest.raises(
        CatalogError, match="expected an asset red, got visual, thumbnail, meta, ms, mask, bare"
    ):
        chosen("red")
    document["assets"]["pan"] = document["assets"].pop("visual")
    with pytest.raises(CatalogError, match="name it with --asset"):
        chosen()
    document["assets"]["pan"]["roles"] = ["data", "visual"]
    assert chosen() == "/s/visual.tif"
    for name in ("pan", "ms"):
        del document["assets"][name]
    assert chosen() == "/s/bare.tif"


def test_a_catalogue_from_an_address_names_no_files_of_this_machine(server: Server) -> None:
    for href in ("file:///etc/passwd", "/vsizip//etc/a.zip"):
        document = {"type": "FeatureCollection", "features": [item("one", href)]}
        address = put(server, "/export.json", json.dumps(document).encode(), None)
        with pytest.raises(CatalogError, match="expected an address"):
            list(offers_of(address))
    document = {
        "type": "FeatureCollection",
        "features": [item("one", "./scenes/1.tif"), item("two", "/etc/passwd")],
    }
    address = put(server, "/more/export.json", json.dumps(document).encode(), None)
    found = [offer.path.removeprefix(server.address) for offer in offers_of(address)]
    assert found == ["/more/scenes/1.tif", "/etc/passwd"]


def test_an_item_that_leaves_its_scene_open_does_not_keep_the_others_out(
    catalog: Catalog, tmp_path: Path
) -> None:
    scene_bytes(tmp_path, 3)
    open_, wrong = item("two", "./3.tif"), item("three", "./3.tif")
    open_["assets"] = {}
    wrong["properties"]["view:off_nadir"] = 120
    path = tmp_path / "x.json"
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": [open_, wrong, item("one", "./3.tif")]})
    )
    failed: dict[str, str] = {}
    taken = catalog.take_stac(path, failed=lambda name, error: failed.update({name: str(error)}))
    assert [one.news for one in taken] == ["new"]
    assert list(failed) == ["two", "three"]
    assert "name it with --asset" in failed["two"]


def test_a_page_of_several_is_not_taken_for_all(tmp_path: Path) -> None:
    links = [{"rel": "next", "href": "https://host/search?page=2"}]
    (tmp_path / "x.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": [item("one", "/s/a.tif")], "links": links})
    )
    with pytest.raises(CatalogError, match="got a page of them with a link to the next"):
        list(offers_of(str(tmp_path / "x.json")))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"type": "FeatureCollection", "features": [{}]}', "\xff"]
)
def test_what_is_no_stac(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content, encoding="latin-1")
    with pytest.raises(CatalogError, match=r"x\.json: expected a STAC catalogue"):
        list(offers_of(str(tmp_path / "x.json")))
    with pytest.raises(CatalogError, match="FileNotFoundError"):
        list(offers_of(str(tmp_path / "none.json")))


def test_an_item_of_an_impossible_angle_is_named(tmp_path: Path) -> None:
    document = item("one", "/s/a.tif")
    document["properties"]["view:off_nadir"] = 120
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(CatalogError, match="Item one: expected off_nadir_deg"):
        list(offers_of(str(tmp_path / "x.json")))
