"""What the server tells of an archive: scenes, sites, detections, pictures, and what people say of them."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image
from rio_tiler.constants import WEB_MERCATOR_TMS
from server_archive import CARD, EAST, NORTH, OTHER, Found, add, client_of, put, write_flat, write_scene
from starlette.testclient import TestClient

from pithead.changes.said import Said
from pithead.rescore import Archive
from pithead.review import reviews
from pithead.server import keys
from pithead.server.screen import to_screen

# rasterio and rio-tiler multiply transforms as the package affine will not for ever.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

HEAP = Found("coal_heap", 0.7, (100, 100, 160, 130))
HEAD = Found("mine_head", 0.4, (10, 10, 30, 40))
WALL = Found("guard_perimeter", 0.6, (20, 200, 220, 200, 220, 280), line=True)


def begun(tmp_path: Path) -> Archive:
    """Two scenes of Camp 15, one elsewhere without a date or a site, one without georeference."""
    made = Archive.open(tmp_path / "archive", make=True)
    scenes = tmp_path / "scenes"
    put(
        made,
        add(made, write_scene(scenes / "a.tif", 1), "Camp 15", "2015-04-02T03:00:00"),
        [HEAP, HEAD, WALL],
    )
    put(made, add(made, write_scene(scenes / "b.tif", 2), "Camp 15", "2019-03-12"), [Found("coal_heap", 0.9)])
    put(made, add(made, write_scene(scenes / "c.tif", 3, east=EAST + 20_000)), [Found("rail_loading", 0.3)])
    put(made, add(made, write_flat(scenes / "d.png", 4)), [HEAP])
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """What nobody changes."""
    return begun(tmp_path_factory.mktemp("views"))


@pytest.fixture(scope="module")
def client(archive: Archive) -> TestClient:
    return client_of(archive.folder)


@pytest.fixture
def own(tmp_path: Path) -> Archive:
    """What a test may change."""
    return begun(tmp_path)


@pytest.fixture
def own_client(own: Archive) -> TestClient:
    return client_of(own.folder)


def get(client: TestClient, path: str, status: int = 200) -> Any:  # noqa: ANN401 (JSON)
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def found(client: TestClient, query: str = "") -> list[tuple[str, float]]:
    """Class and score of what is listed, the highest score first; all that is told holds to the document."""
    told = get(client, f"/v1/detections?{query}")
    assert told["type"] == "FeatureCollection"
    assert told["matched"] >= len(told["features"])
    every = [(one["properties"]["class"], one["properties"]["score"]) for one in told["features"]]
    return sorted(every, key=lambda pair: -pair[1])


def of(client: TestClient, class_name: str, query: str = "") -> dict[str, Any]:
    """The one detection of a class."""
    told = get(client, f"/v1/detections?class={class_name}&{query}")
    (feature,) = told["features"]
    found: dict[str, Any] = feature
    return found


def scene_id(archive: Archive, name: str) -> str:
    (found,) = [entry.id for entry in archive.catalog.scenes() if entry.id.startswith(f"{name}-")]
    return found


# --- scenes and sites


def test_scenes_come_newest_first(client: TestClient) -> None:
    told = get(client, "/v1/scenes")
    assert (told["matched"], told["next"]) == (4, None)
    assert [one["id"][0] for one in told["scenes"]] == ["b", "a", "d", "c"]
    newest = told["scenes"][0]
    assert newest["acquired"] == "2019-03-12T00:00:00+00:00"
    assert (newest["width"], newest["height"], newest["gsd_m"]) == (400, 300, 0.5002)
    assert (newest["frame"], newest["sites"], newest["scored"], newest["detections"]) == (
        "lonlat",
        ["Camp 15"],
        True,
        1,
    )
    assert newest["bounds"][0] == pytest.approx(129.0)
    assert [one["frame"] for one in told["scenes"]] == ["lonlat", "lonlat", "px", "lonlat"]


def test_scenes_are_chosen_by_site_place_and_time(client: TestClient) -> None:
    def names(query: str) -> str:
        return "".join(one["id"][0] for one in get(client, f"/v1/scenes?{query}")["scenes"])

    assert names("site=camp-15") == names("site=Camp%2015") == names("site=camp%20%2015") == "ba"
    assert names("site=nowhere") == ""
    assert names("bbox=129.1,39,130,40") == "c"
    assert names("bbox=128,39,130,40") == "bac"
    assert names("bbox=170,-90,-170,90") == ""
    assert names("bbox=129.1,39,-170,40") == "c"
    assert names("from=2015-04-02&to=2015-04-02") == "a"
    assert names("from=2015-04-03") == "b"
    assert names("to=2019-03-11") == "a"
    assert names("to=2015-04-02T02:59:59Z") == ""
    assert names("from=0001-01-01&to=9999-12-31") == "ba"


def test_pages_of_scenes_are_the_list(client: TestClient) -> None:
    whole = [one["id"] for one in get(client, "/v1/scenes")["scenes"]]
    seen, path = [], "/v1/scenes?limit=1"
    for _ in whole:
        told = get(client, path)
        assert told["matched"] == 4
        seen += [one["id"] for one in told["scenes"]]
        path = f"/v1/scenes?limit=1&cursor={told['next']}"
    assert (seen, told["next"]) == (whole, None)


def test_a_scene_is_told_with_its_runs_and_without_its_place_on_disk(
    client: TestClient, archive: Archive
) -> None:
    told = get(client, f"/v1/scenes/{scene_id(archive, 'a')}")
    assert told["crs"] == "EPSG:32652"
    assert told["footprint"]["type"] == "Polygon"
    (run,) = told["runs"]
    assert (run["weights"], run["detections"], run["shown"]) == ("constant", 3, True)
    assert run["options"] == {"overlap_px": 128, "stretch": None}
    assert str(archive.folder.parent) not in json.dumps(told)
    assert get(client, "/v1/scenes/other", 404)["status"] == 404


def test_sites_are_listed_with_their_dates(client: TestClient) -> None:
    (site,) = get(client, "/v1/sites")["sites"]
    assert {name: site[name] for name in ("id", "name", "aliases", "scenes", "detections")} == {
        "id": "camp-15", "name": "Camp 15", "aliases": [], "scenes": 2, "detections": 4,
    }  # fmt: skip
    assert site["dates"] == ["2015-04-02", "2019-03-12"]
    assert site["bounds"] == pytest.approx(get(client, "/v1/scenes")["scenes"][0]["bounds"])


def test_a_site_without_scenes_on_the_ground_has_no_bounds(own_client: TestClient, own: Archive) -> None:
    add(own, own.folder.parent / "scenes" / "d.png", "Camp 22")
    told = {site["id"]: site for site in get(own_client, "/v1/sites")["sites"]}
    assert (told["camp-22"]["bounds"], told["camp-22"]["scenes"], told["camp-22"]["dates"]) == (None, 1, [])


# --- detections


def test_detections_are_listed_as_the_store_has_them(client: TestClient, archive: Archive) -> None:
    heap = of(client, "coal_heap", "to=2016-01-01")
    (row,) = archive.store.detections(scenes=[scene_id(archive, "a")], classes=["coal_heap"]).to_dict(
        "records"
    )
    facts = heap["properties"]
    assert heap["id"] == facts["detection"] == row["detection"]
    assert shapely.geometry.shape(heap["geometry"]).equals(row["geometry"])
    for name in ("class", "score", "length_m", "width_m", "area_m2", "centre_lon", "centre_lat", "scene",
                 "scene_sha256", "weights_sha256", "options_sha256", "site", "frame"):  # fmt: skip
        assert facts[name] == row[name], name
    assert facts["acquired"] == "2015-04-02T03:00:00+00:00"
    assert (facts["weights"], facts["review"], facts["class_now"]) == ("constant", None, "coal_heap")
    # 0.7 lies 0.45 above the threshold of 0.25, of 0.75 that it may.
    assert (facts["uncertainty"], facts["uncertainty_by"]) == (0.4, "threshold")
    assert "model_geometry" not in facts
    wall = of(client, "guard_perimeter")
    assert wall["geometry"]["type"] == "LineString"
    assert (wall["properties"]["closed"], wall["properties"]["spans"], wall["properties"]["area_m2"]) == (
        False,
        3,
        None,
    )


def test_detections_are_chosen(client: TestClient) -> None:
    every = [
        ("coal_heap", 0.9),
        ("coal_heap", 0.7),
        ("guard_perimeter", 0.6),
        ("mine_head", 0.4),
        ("rail_loading", 0.3),
    ]
    assert found(client) == every
    assert found(client, "class=mine_head,rail_loading") == every[3:]
    assert found(client, "class=") == []
    assert found(client, "min_score=0.4&max_score=0.7") == every[1:4]
    assert found(client, "site=camp-15") == every[:4]
    assert found(client, "site=elsewhere") == []
    assert found(client, "from=2019-01-01") == every[:1]
    assert found(client, "to=2015-04-02") == every[1:4]
    assert found(client, "bbox=129.1,39,130,40") == every[4:]
    assert found(client, "review=unreviewed") == every
    assert found(client, "review=accept,reject") == []
    assert found(client, "weights=constant") == found(client, "weights=5e5e") == every
    assert found(client, "weights=5e") == found(client, "weights=nobody") == []


@pytest.mark.parametrize("scenes", [1, 12])
def test_a_box_has_what_meets_it_however_it_is_looked_up(
    scenes: int, own_client: TestClient, own: Archive
) -> None:
    """With few scenes all rows are gone through; with more the tree is asked."""
    for number in range(10, 10 + scenes):
        path = write_scene(own.folder.parent / "more" / f"{number}.tif", number, north=NORTH - 5_000 * number)
        put(own, add(own, path), [HEAP])
    west, south, east, north = shapely.geometry.shape(of(own_client, "mine_head")["geometry"]).bounds
    tiny = 1e-9
    inside = ((west + east) / 2, (south + north) / 2)
    boxes = {
        (inside[0], inside[1], inside[0], inside[1]): True,
        (east, north, east + 1, north + 1): True,
        (east + tiny, south, east + 1, north): False,
        (west, north + tiny, east, north + 1): False,
        (west - 1, south - 1, west - tiny, north): False,
        (inside[0], -90, -179, 90): True,
        (east + tiny, -90, -179, 90): False,
    }
    for box, hit in boxes.items():
        query = "bbox=" + ",".join(map(repr, box))
        assert (("mine_head", 0.4) in found(own_client, query)) is hit, box


@pytest.mark.parametrize(
    "query",
    [
        "bbox=1,2,3", "bbox=a,b,c,d", "bbox=nan,0,1,1", "bbox=0,2,1,1", "bbox=0,0,181,1", "bbox=0,-91,1,1",
        "min_score=2", "max_score=nan", "from=yesterday", "to=2019-13-01", "review=maybe", "order=size",
        "from=0001-01-01T00:00:00%2B05:00", "to=9999-12-31T23:59:59-05:00",
        "limit=0", "limit=many", "cursor=x", "cursor=%00", "cursor=WyJpZCJd", "klass=heap",
        "cursor=WyJpZCIsWzFdXQ",
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(client: TestClient, query: str) -> None:
    told = get(client, f"/v1/detections?{query}", 422)
    assert told["detail"]


@pytest.mark.parametrize("order", ["id", "score", "uncertainty"])
def test_pages_are_the_list_in_its_order(own_client: TestClient, own: Archive, order: str) -> None:
    entry = add(own, write_scene(own.folder.parent / "e.tif", 9, east=EAST + 40_000))
    scores = np.random.default_rng(0).choice([0.3, 0.5, 0.8], 60).tolist()  # few, so that many are alike
    put(
        own,
        entry,
        [Found("coal_heap", score, (i, i, i + 20, i + 9)) for i, score in enumerate(scores)],
    )
    whole = get(own_client, f"/v1/detections?order={order}&limit=1000")
    assert (whole["matched"], whole["next"]) == (65, None)
    ids = [one["id"] for one in whole["features"]]
    values = [one["properties"].get(order) for one in whole["features"]]
    assert ids == sorted(ids) if order == "id" else values == sorted(values, reverse=True)
    for limit in (1, 7, 64, 65):
        seen, cursor = [], ""
        while True:
            told = get(own_client, f"/v1/detections?order={order}&limit={limit}{cursor}")
            assert told["matched"] == 65
            seen += [one["id"] for one in told["features"]]
            if told["next"] is None:
                break
            assert len(told["features"]) == limit
            cursor = f"&cursor={told['next']}"
        assert seen == ids


def test_a_queue_goes_on_behind_what_was_decided(own_client: TestClient) -> None:
    """What is decided leaves the list, and the next page still has what comes next."""
    path = "/v1/detections?order=uncertainty&review=unreviewed&limit=2"
    whole = [one["id"] for one in get(own_client, path.replace("limit=2", "limit=9"))["features"]]
    first = get(own_client, path)
    for one in first["features"]:
        own_client.post(f"/v1/detections/{one['id']}/review", json={"decision": "accept"})
    second = get(own_client, f"{path}&cursor={first['next']}")
    assert [one["id"] for one in second["features"]] == whole[2:4]
    assert second["matched"] == 3


def test_a_page_has_no_more_than_the_server_gives(archive: Archive) -> None:
    from dataclasses import replace

    from pithead.server.app import create_app
    from pithead.server.settings import Limits, Settings

    client = client_of(archive.folder)
    settings: Settings = client.app.state.desk.settings  # type: ignore[attr-defined]
    app = create_app(
        replace(settings, limits=Limits(page=2)),
        client.app.state.desk.infer,
        card=CARD,
        weights_sha256="5e" * 32,  # type: ignore[attr-defined]
    )
    small = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000))
    told = get(small, "/v1/detections?limit=1000")
    assert (len(told["features"]), told["matched"]) == (2, 5)
    assert told["next"]


def test_what_lies_nowhere_is_told_only_of_its_scene(client: TestClient, archive: Archive) -> None:
    flat = scene_id(archive, "d")
    told = get(client, f"/v1/detections?scene={flat}")
    (heap,) = told["features"]
    assert heap["properties"]["frame"] == "px"
    assert (heap["properties"]["centre_x_px"], heap["properties"]["centre_y_px"]) == (130.0, 115.0)
    corners = to_screen([[100, 100], [160, 100], [160, 130], [100, 130]], (0.5, 0.5))
    assert (
        shapely.geometry.shape(heap["geometry"])
        .normalize()
        .equals_exact(shapely.Polygon(corners).normalize(), 1e-7)
    )
    centre = to_screen([130, 115], (0.5, 0.5))
    assert [heap["properties"]["centre_lon"], heap["properties"]["centre_lat"]] == pytest.approx(
        centre.tolist(), abs=1e-8
    )
    assert heap["id"] not in {one["id"] for one in get(client, "/v1/detections?bbox=-1,-1,1,1")["features"]}
    assert get(client, "/v1/detections/summary?bbox=-1,-1,1,1")["cells"] == []
    (cell,) = get(client, f"/v1/detections/summary?scene={flat}&zoom=18")["cells"]
    assert cell["count"] == 1
    assert get(client, f"/v1/detections/{heap['id']}")["id"] == heap["id"]


def test_results_of_other_weights_are_told_when_asked_for(own_client: TestClient, own: Archive) -> None:
    (entry,) = [one for one in own.catalog.scenes() if one.id.startswith("a-")]
    put(own, entry, [Found("coal_heap", 0.55)], weights=OTHER, started="2026-09-01T00:00:00.000+00:00")
    assert ("coal_heap", 0.55) not in found(own_client)
    assert found(own_client, "weights=other") == found(own_client, "weights=0707") == [("coal_heap", 0.55)]
    assert len(found(own_client, "weights=all")) == 6


def test_a_detection_is_told_with_where_it_comes_from(client: TestClient, archive: Archive) -> None:
    heap = of(client, "coal_heap", "to=2016-01-01")
    told = get(client, f"/v1/detections/{heap['id']}")
    assert {name: told[name] for name in heap} == heap
    run, log = told["provenance"]["run"], told["provenance"]["log"]
    (record,) = [one for one in archive.store.records() if one.scene == heap["properties"]["scene"]]
    assert (run["result_sha256"], run["options"], run["rows"]) == (
        record.result_sha256,
        dict(record.options),
        3,
    )
    assert not {"host", "file"} & run.keys()
    (logged,) = [
        r for r in archive.log.records() if (r.facts or {}).get("result_sha256") == record.result_sha256
    ]
    assert log == {"seq": logged.seq, "time": logged.time, "hash": logged.hash}
    assert told["reviews"] == []
    get(client, "/v1/detections/0123456789abcdef", 404)


# --- the summary


def test_cells_hold_all_that_is_meant(own_client: TestClient, own: Archive) -> None:
    entry = add(own, write_scene(own.folder.parent / "e.tif", 9, east=EAST + 60_000))
    put(own, entry, [Found("coal_heap", 0.5, (i, 2 * i, i + 5, 2 * i + 5)) for i in range(0, 140, 7)])
    for query in ("", "class=coal_heap&", "min_score=0.6&", "bbox=129.05,39,130,40&", "site=camp-15&"):
        listed = Counter(
            one["properties"]["class"]
            for one in get(own_client, f"/v1/detections?{query}limit=1000")["features"]
        )
        for zoom in (0, 4, 10.5, 17, 24):
            cells = get(own_client, f"/v1/detections/summary?{query}zoom={zoom}")["cells"]
            counted: Counter[str] = Counter()
            for cell in cells:
                counted[cell["class"]] += cell["count"]
            assert counted == listed


@pytest.mark.parametrize("zoom", [14, 17, 18.5, 20])
def test_a_cell_is_64_px_wide(own_client: TestClient, own: Archive, zoom: float) -> None:
    entry = add(own, write_scene(own.folder.parent / "e.tif", 9, east=EAST + 60_000))
    put(own, entry, [Found("coal_heap", 0.5, (3 * i, 2 * i, 3 * i + 5, 2 * i + 5)) for i in range(0, 120, 7)])
    listed = get(own_client, f"/v1/detections?scene={entry.id}&limit=1000")["features"]
    bounds = np.array([shapely.geometry.shape(one["geometry"]).bounds for one in listed])
    lon, lat = (bounds[:, 0] + bounds[:, 2]) / 2, np.radians((bounds[:, 1] + bounds[:, 3]) / 2)
    # The world is 512 px wide at zoom 0; y by the formula of the Web Mercator projection.
    side = 512 * 2**zoom / 64
    cells = Counter(
        zip(
            np.floor((lon + 180) / 360 * side).tolist(),
            np.floor((0.5 - np.arcsinh(np.tan(lat)) / (2 * np.pi)) * side).tolist(),
            strict=True,
        )
    )
    told = get(own_client, f"/v1/detections/summary?scene={entry.id}&zoom={zoom}")["cells"]
    assert sorted(cell["count"] for cell in told) == sorted(cells.values())
    assert {cell["class"] for cell in told} == {"coal_heap"}
    middle = sum(cell["lon"] * cell["count"] for cell in told) / len(listed)
    assert middle == pytest.approx(lon.mean(), abs=1e-9)


def test_a_grid_of_a_large_box_is_no_finer_than_it_can_be_shown(client: TestClient) -> None:
    # 128 cells round the world, as at zoom 4: 2.8° each.
    finest = get(client, "/v1/detections/summary?zoom=24")
    assert finest == get(client, "/v1/detections/summary?zoom=4")
    assert {cell["count"] for cell in finest["cells"] if cell["class"] == "coal_heap"} == {2}


# --- reviews


def test_what_is_said_is_told_and_stands_in_the_log(own_client: TestClient, own: Archive) -> None:
    heap = of(own_client, "coal_heap", "to=2016-01-01")
    answer = own_client.post(
        f"/v1/detections/{heap['id']}/review", json={"decision": "accept", "note": "seen in 2016 too"}
    )
    assert answer.status_code == 201
    said = answer.json()
    (review,) = reviews(own.log).values()
    assert (review.detection, review.decision, review.reviewer, review.note) == (
        heap["id"], "accept", "local", "seen in 2016 too",
    )  # fmt: skip
    head = own.log.head()
    assert head is not None
    assert (said["seq"], said["hash"], said["time"]) == (head.seq, head.hash, head.time)
    told = of(own_client, "coal_heap", "to=2016-01-01")["properties"]
    assert told["review"] == {
        "decision": "accept", "class": None, "note": "seen in 2016 too", "reviewer": "local",
        "time": head.time,
    }  # fmt: skip
    assert found(own_client, "review=accept") == [("coal_heap", 0.7)]
    assert len(found(own_client, "review=unreviewed")) == 4
    again = own_client.post(
        f"/v1/detections/{heap['id']}/review", json={"decision": "accept", "note": "seen in 2016 too"}
    )
    assert (again.status_code, again.json()) == (200, said)
    other = own_client.post(
        f"/v1/detections/{heap['id']}/review", json={"decision": "reject", "reviewer": "A. B."}
    )
    assert other.status_code == 201
    history = get(own_client, f"/v1/detections/{heap['id']}")["reviews"]
    assert [(one["decision"], one["reviewer"]) for one in history] == [
        ("accept", "local"),
        ("reject", "A. B."),
    ]
    assert history[0] == said


def test_what_is_relabelled_is_found_as_what_it_is(own_client: TestClient) -> None:
    head = of(own_client, "mine_head")
    answer = own_client.post(
        f"/v1/detections/{head['id']}/review", json={"decision": "relabel", "class": "coal_heap"}
    )
    assert answer.status_code == 201
    assert answer.json()["class"] == "coal_heap"
    assert found(own_client, "class=mine_head") == []
    told = {one["id"]: one for one in get(own_client, "/v1/detections?class=coal_heap")["features"]}[
        head["id"]
    ]
    assert (told["properties"]["class"], told["properties"]["class_now"]) == ("mine_head", "coal_heap")


def test_what_is_redrawn_is_shown_and_measured_as_drawn(own_client: TestClient, own: Archive) -> None:
    from pithead.imagery import open_scene

    heap = of(own_client, "coal_heap", "to=2016-01-01")
    (entry,) = [one for one in own.catalog.scenes() if one.id.startswith("a-")]
    with open_scene(entry.href) as scene:
        # 80 × 40 px of 0.5002 m, turned by 30°.
        turned = shapely.affinity.rotate(shapely.box(100, 100, 180, 140), 30)
        drawn = shapely.transform(turned, scene.to_lonlat)
    geometry = shapely.geometry.mapping(drawn)
    answer = own_client.post(
        f"/v1/detections/{heap['id']}/review", json={"decision": "redraw", "geometry": geometry}
    )
    assert answer.status_code == 201, answer.text
    told = of(own_client, "coal_heap", "to=2016-01-01")
    assert shapely.geometry.shape(told["geometry"]).equals_exact(drawn, 1e-12)
    assert told["properties"]["model_geometry"] == heap["geometry"]
    facts = told["properties"]
    assert [facts["length_m"], facts["width_m"]] == pytest.approx([40.016, 20.008], abs=0.02)
    assert facts["area_m2"] == pytest.approx(800.64, rel=2e-3)
    middle = [facts["centre_lon"], facts["centre_lat"]]
    assert middle == pytest.approx(drawn.centroid.coords[0], abs=1e-8)
    assert (facts["centre_x_px"], facts["centre_y_px"]) == (None, None)
    (review,) = reviews(own.log).values()
    assert review.geometry.equals_exact(drawn, 1e-12)
    # And a comparison of weights takes it as it does any review.
    assert Said(
        review.scene_sha256,
        review.class_name,
        there=review.stands,
        shape=review.geometry,
        detection=review.detection,
        decision=review.decision,
    )


def test_what_lies_nowhere_may_be_redrawn_too(own_client: TestClient, own: Archive) -> None:
    flat = scene_id(own, "d")
    (heap,) = get(own_client, f"/v1/detections?scene={flat}")["features"]
    corners = to_screen([[90, 90], [190, 90], [190, 130], [90, 130]], (0.5, 0.5)).tolist()
    geometry = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
    said = {"decision": "redraw", "geometry": geometry}
    both = own_client.post(f"/v1/detections/{heap['id']}/review", json={**said, "class": "mine_head"})
    assert both.status_code == 422, both.text
    answer = own_client.post(f"/v1/detections/{heap['id']}/review", json=said)
    assert answer.status_code == 201, answer.text
    (review,) = reviews(own.log).values()
    assert review.frame == "px"
    assert review.geometry.bounds == pytest.approx((90, 90, 190, 130), abs=0.01)
    (told,) = get(own_client, f"/v1/detections?scene={flat}")["features"]
    assert (
        shapely.geometry.shape(told["geometry"])
        .normalize()
        .equals_exact(shapely.Polygon(corners).normalize(), 1e-6)
    )
    assert [told["properties"][name] for name in ("length_m", "width_m", "area_m2")] == [50.0, 20.0, 1000.0]
    assert [told["properties"][name] for name in ("centre_x_px", "centre_y_px")] == [140.0, 110.0]
    middle = to_screen([140, 110], (0.5, 0.5)).tolist()
    assert [told["properties"][name] for name in ("centre_lon", "centre_lat")] == pytest.approx(
        middle, abs=1e-7
    )
    shown = get(own_client, f"/v1/detections/{heap['id']}")["reviews"][0]["geometry"]
    assert shapely.geometry.shape(shown).equals_exact(shapely.geometry.shape(told["geometry"]), 1e-9)


def test_a_perimeter_is_redrawn_as_a_line(own_client: TestClient) -> None:
    wall = of(own_client, "guard_perimeter")
    points = np.array(wall["geometry"]["coordinates"])
    ring = [*points.tolist(), points[0].tolist()]
    for geometry, status in (
        ({"type": "Polygon", "coordinates": [ring]}, 422),
        ({"type": "LineString", "coordinates": ring}, 201),
    ):
        answer = own_client.post(
            f"/v1/detections/{wall['id']}/review", json={"decision": "redraw", "geometry": geometry}
        )
        assert answer.status_code == status, answer.text
    told = of(own_client, "guard_perimeter")["properties"]
    # A right angle with legs of 100 m and 40 m: 140 + sqrt(11600) m round 2000 m².
    assert told["length_m"] == pytest.approx((140 + 11600**0.5) * 1.0004, abs=0.1)
    assert told["closed"]
    assert told["enclosed_area_m2"] == pytest.approx(2000 * 1.0008, rel=1e-3)


CORNERS = {"a": [129.0, 39.749], "b": [129.001, 39.749], "c": [129.001, 39.7495], "d": [129.0, 39.7495]}
BOX = {"type": "Polygon", "coordinates": [[CORNERS[name] for name in "abcda"]]}
BOW = {"type": "Polygon", "coordinates": [[CORNERS[name] for name in "acbda"]]}


@pytest.mark.parametrize(
    "body",
    [
        {}, {"decision": "maybe"}, {"decision": "relabel"}, {"decision": "relabel", "class": "coal_heap"},
        {"decision": "relabel", "class": "submarine"}, {"decision": "accept", "class": "mine_head"},
        {"decision": "redraw"}, {"decision": "accept", "geometry": BOX},
        {"decision": "redraw", "geometry": BOW},
        {"decision": "redraw", "geometry": {"type": "Polygon"}},
        {"decision": "redraw", "geometry": {"type": "Polygon", "coordinates": []}},
        {"decision": "redraw", "geometry": {"type": "Point", "coordinates": [129, 39]}},
        {"decision": "redraw", "geometry": {**BOX, "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}},
        {"decision": "redraw", "geometry": {"type": "Polygon", "coordinates": [[["a", 0], [1, 0], [1, 1]]]}},
        {"decision": "accept", "note": "x" * 2001}, {"decision": "accept", "reviewer": ""},
        {"decision": "accept", "extra": 1}, [],
    ],
)  # fmt: skip
def test_what_says_nothing_is_refused_and_not_logged(client: TestClient, archive: Archive, body: Any) -> None:  # noqa: ANN401
    heap = of(client, "coal_heap", "to=2016-01-01")
    before = archive.log.path.read_bytes()
    answer = client.post(f"/v1/detections/{heap['id']}/review", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "--" not in answer.json()["detail"]
    assert archive.log.path.read_bytes() == before


def test_an_unknown_detection_cannot_be_reviewed(client: TestClient) -> None:
    assert (
        client.post("/v1/detections/0123456789abcdef/review", json={"decision": "accept"}).status_code == 404
    )


def test_who_reviews_is_who_holds_the_key(own: Archive) -> None:
    own_client = client_of(own.folder)
    database = own_client.app.state.desk.database  # type: ignore[attr-defined]
    ring = keys.Keyring(database)
    reviewer, submitter = ring.add("aigul", "review"), ring.add("bot", "submit")
    said = {"Authorization": f"Bearer {reviewer}"}
    heap = own_client.get("/v1/detections?class=coal_heap&to=2016-01-01", headers=said).json()["features"][0][
        "id"
    ]
    path = f"/v1/detections/{heap}/review"
    assert own_client.post(path, json={"decision": "accept"}).status_code == 401
    forbidden = own_client.post(
        path, json={"decision": "accept"}, headers={"Authorization": f"Bearer {submitter}"}
    )
    assert forbidden.status_code == 403
    other = own_client.post(path, json={"decision": "accept", "reviewer": "somebody"}, headers=said)
    assert other.status_code == 422
    assert own_client.post(path, json={"decision": "accept"}, headers=said).json()["reviewer"] == "aigul"
    (review,) = reviews(own.log).values()
    assert review.reviewer == "aigul"


# --- pictures


def test_tiles_of_a_scene(client: TestClient, archive: Archive) -> None:
    for name, value in (("a", 1), ("d", 4)):
        told = get(client, f"/v1/scenes/{scene_id(archive, name)}")
        west, south, east, north = told["bounds"]
        there = WEB_MERCATOR_TMS.tile((west + east) / 2, (south + north) / 2, 19)
        path = f"/v1/scenes/{told['id']}/tiles/19/{there.x}/{there.y}.png"
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.convert("RGBA").getpixel((128, 128)) == (value, value, value, 255)
        beyond = client.get(f"/v1/scenes/{told['id']}/tiles/19/5/5.png")
        assert (beyond.status_code, beyond.content) == (204, b"")
    get(client, f"/v1/scenes/{scene_id(archive, 'a')}/tiles/3/8/0.png", 404)
    get(client, f"/v1/scenes/{scene_id(archive, 'a')}/tiles/25/0/0.png", 422)
    get(client, f"/v1/scenes/{scene_id(archive, 'a')}/tiles/3/-1/0.png", 422)
    get(client, "/v1/scenes/other/tiles/0/0/0.png", 404)


def test_a_scene_whose_file_is_gone_is_told_and_not_shown(own_client: TestClient, own: Archive) -> None:
    name = scene_id(own, "a")
    (own.folder.parent / "scenes" / "a.tif").unlink()
    told = get(own_client, f"/v1/scenes/{name}/tiles/0/0/0.png", 409)
    assert "not there" in told["detail"]
    assert "scenes" not in told["detail"]
    heap = of(own_client, "coal_heap", "to=2016-01-01")
    assert get(own_client, f"/v1/detections/{heap['id']}/chip.png", 409)["title"] == "Scene cannot be shown"


def test_a_chip_shows_a_detection_in_the_colour_of_its_class(client: TestClient, archive: Archive) -> None:
    heap = of(client, "coal_heap", "to=2016-01-01")
    path = f"/v1/detections/{heap['id']}/chip.png"
    answer = client.get(f"{path}?margin_m=10&px=100")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (100, 100)
        # 30 × 15 m and 10 m on each side are 50 m: the outline is 60 px wide and 30 px high.
        rgb = image.convert("RGB")
        assert [rgb.getpixel(at) for at in ((20, 50), (80, 50), (50, 35), (50, 65))] == [(255, 225, 25)] * 4
        assert rgb.getpixel((50, 50)) == (1, 1, 1)
    with Image.open(io.BytesIO(client.get(path).content)) as image:
        assert image.size == (320, 320)
    get(client, f"{path}?px=5000", 422)
    get(client, "/v1/detections/0123456789abcdef/chip.png", 404)
    flat = get(client, f"/v1/detections?scene={scene_id(archive, 'd')}")["features"][0]["id"]
    assert client.get(f"/v1/detections/{flat}/chip.png").status_code == 200


def test_a_basemap_lies_under_the_scenes_if_there_is_one(archive: Archive, client: TestClient) -> None:
    there = WEB_MERCATOR_TMS.tile(129.001, 39.749, 17)
    path = f"/v1/basemap/17/{there.x}/{there.y}.png"
    assert "PITHEAD_BASEMAP" in get(client, path, 404)["detail"]
    base = write_scene(archive.folder.parent / "base.tif", 77)
    with_base = client_of(archive.folder, basemap=base)
    answer = with_base.get(path)
    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (77, 77, 77, 255) in {pixel for _, pixel in image.convert("RGBA").getcolors(100_000) or []}
    assert with_base.get("/v1/basemap/17/5/5.png").status_code == 204


def test_who_asks_while_scenes_are_scored_and_reviewed_sees_whole_runs(
    own_client: TestClient, own: Archive
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def ask(number: int) -> tuple[int, int]:
        if number % 5 == 0:
            heap = of(own_client, "mine_head")["id"]
            assert own_client.post(
                f"/v1/detections/{heap}/review", json={"decision": "accept", "note": str(number)}
            ).is_success
        told = get(own_client, "/v1/detections?class=rail_loading&limit=1000")
        return told["matched"], len(told["features"])

    entries = [
        add(own, write_scene(own.folder.parent / f"more{i}.tif", 50 + i, north=NORTH - 4_000 * (i + 1)))
        for i in range(6)
    ]
    boxes = [Found("rail_loading", 0.5, (9 * i, 0, 9 * i + 8, 8)) for i in range(10)]
    with ThreadPoolExecutor(4) as pool:
        asked = pool.map(ask, range(40))
        for entry in entries:
            put(own, entry, boxes)
        seen = list(asked)
    assert all(matched == listed and matched % 10 == 1 for matched, listed in seen)
    assert get(own_client, "/v1/detections?class=rail_loading&limit=1000")["matched"] == 61


def test_the_index_may_be_made_before_anybody_asks(own: Archive, caplog: pytest.LogCaptureFixture) -> None:
    from pithead.server.lookup import warm

    client = client_of(own.folder)
    warm(client.app)  # type: ignore[arg-type]
    assert client.app.state.mirror._looked is not None  # type: ignore[attr-defined]
    (own.folder / "catalog.json").write_text("{}")
    warm(client.app)  # type: ignore[arg-type]
    assert "not made yet" in caplog.text
    assert str(own.folder) not in get(client, "/v1/sites", 500)["detail"]


# --- the document


@pytest.fixture
def spoken(own_client: TestClient) -> TestClient:
    for one, decision in zip(
        get(own_client, "/v1/detections")["features"], ("accept", "reject"), strict=False
    ):
        own_client.post(f"/v1/detections/{one['id']}/review", json={"decision": decision})
    return own_client


def test_every_answer_holds_to_the_openapi_document(spoken: TestClient, own: Archive) -> None:
    import jsonschema

    document = get(spoken, "/openapi.json")
    heap, scene = of(spoken, "mine_head")["id"], scene_id(own, "d")
    for template, path, kind in (
        ("/v1/scenes", "/v1/scenes?limit=2", "application/json"),
        ("/v1/scenes/{scene}", f"/v1/scenes/{scene}", "application/json"),
        ("/v1/sites", "/v1/sites", "application/json"),
        ("/v1/detections", "/v1/detections?limit=4", "application/geo+json"),
        ("/v1/detections", f"/v1/detections?scene={scene}", "application/geo+json"),
        ("/v1/detections/summary", "/v1/detections/summary?zoom=9", "application/json"),
        ("/v1/detections/{detection}", f"/v1/detections/{heap}", "application/geo+json"),
    ):
        answer = spoken.get(path)
        assert answer.headers["content-type"] == kind
        content = document["paths"][template]["get"]["responses"]["200"]["content"]
        assert list(content) == [kind]
        schema = {**content[kind]["schema"], "components": document["components"]}
        jsonschema.validate(answer.json(), schema)
        assert answer.headers["cache-control"] == "no-store"
