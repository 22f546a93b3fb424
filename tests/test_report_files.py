"""The files of a dossier: what leaves the archive, what proves it, and what must not be in it."""

import base64
import importlib.util
import io
import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cyclopts import App
from PIL import Image

from pithead.catalog import Site
from pithead.errors import PitheadError
from pithead.generate.history import History
from pithead.pretend import write_archive
from pithead.report import Discretion, dossier_of, write_dossier
from pithead.report.discretion import GRAIN_M
from pithead.report.printing import browser, print_pdf
from pithead.report.words import words_of
from pithead.rescore import Archive
from pithead.rescore.intake import use_sites
from pithead.rescore.upkeep import check
from pithead.review import GIVEN, Review, give
from pithead.sites import Chronicle, chronicle

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "inference" / "signs.toml"
REVIEWER, EMPTY = "Kim Geheim", "요덕 15호"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of six dates of which somebody has reviewed five detections, and one without scenes."""
    folder = tmp_path_factory.mktemp("histories") / "archive"
    archive = write_archive([History.draw(7, dates=6, sensors=2, side_m=700)], folder).archive
    sites = json.loads((folder / "sites.geojson").read_text("utf-8"))
    sites["features"].append({"type": "Feature", "geometry": None, "properties": {"name": EMPTY}})
    (folder.parent / "sites.json").write_text(json.dumps(sites), encoding="utf-8")
    use_sites(archive, folder.parent / "sites.json")
    rows = archive.store.detections()
    for number, (_, row) in enumerate(rows[rows["site"] == "History 0007"].head(5).iterrows()):
        give(
            archive.log,
            Review(
                row["detection"], row["scene_sha256"], row["class"], "accept" if number else "reject",
                REVIEWER, row.geometry, note="seen",
            ),
        )  # fmt: skip
    return folder


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Archive:
    """A copy whose log a test may write to; its scenes lie where they were."""
    shutil.copytree(made, tmp_path / "archive", ignore=shutil.ignore_patterns("scenes"))
    return Archive.open(tmp_path / "archive")


@pytest.fixture(scope="module")
def history(made: Path) -> Chronicle:
    """What is told of the first site."""
    return chronicle(Archive.open(made), "History 0007", weights=made / "pretended.onnx", rules=RULES)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def written(out: Path, archive: Archive, history: Chronicle, discretion: Discretion | None = None) -> Path:
    """A dossier in both languages, without PDFs."""
    write_dossier(out, archive, dossier_of(archive, history, discretion), ("en", "ko"))
    return out


def checked(chain: Path, file: Path) -> str:
    """What the checker says, with nothing but Python."""
    command = [
        sys.executable,
        "-I",
        str(ROOT / "inference" / "check_chain.py"),
        str(chain),
        "--file",
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pictures(page: bytes) -> Iterator[Image.Image]:
    for found in re.findall(rb"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page):
        yield Image.open(io.BytesIO(base64.b64decode(found)))


# --- all of it


def test_every_file_is_proven_by_the_chain_beside_it(
    archive: Archive, history: Chronicle, tmp_path: Path
) -> None:
    out = written(tmp_path / "out", archive, history)
    names = [path.name for path in sorted(out.iterdir())]
    assert names == [
        "history-0007.chain.jsonl", "history-0007.changes.csv", "history-0007.en.html", "history-0007.gpkg",
        "history-0007.ko.html", "history-0007.quantities.csv", "history-0007.signs.csv",
        "history-0007.states.csv",
    ]  # fmt: skip
    chain = out / "history-0007.chain.jsonl"
    for name in names[1:]:
        assert "is the file of record" in checked(chain, out / name)
    records = [json.loads(line) for line in chain.read_text().splitlines()]
    told = [one for one in records if "facts" in one]
    scenes = {view.scene for view in history.views}
    assert {one["facts"]["scene"] for one in told if one["kind"] == "scene.added"} == scenes
    assert sum(one["kind"] == "run.finished" for one in told) == len(scenes)
    assert {one["facts"]["reviewer"] for one in told if one["kind"] == GIVEN} == {REVIEWER}
    assert EMPTY not in chain.read_text("utf-8")
    assert [fault for fault in check(archive) if "gone" not in fault] == []


def test_a_signature_goes_with_it(archive: Archive, history: Chronicle, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    private = Ed25519PrivateKey.generate()
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_dossier(tmp_path / "out", archive, dossier_of(archive, history, pictures=0), key=key)
    last = (tmp_path / "out" / "history-0007.chain.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["kind"] == "head.signed"


def test_the_page_names_the_records_behind_it(archive: Archive, history: Chronicle, tmp_path: Path) -> None:
    text = (written(tmp_path / "out", archive, history) / "history-0007.en.html").read_text("utf-8")
    records = list(archive.log.records())
    for view in history.views:
        added = next(r.seq for r in records if r.kind == "scene.added" and r.facts["scene"] == view.scene)
        scored = next(r.seq for r in records if r.kind == "run.finished" and r.facts["scene"] == view.scene)
        assert f"<td>{added}, {scored}</td>" in text
    assert REVIEWER in text
    reviews = [r.seq for r in records if r.kind == GIVEN]
    assert f"up to record {max(reviews)}," in text


def test_the_same_dossier_has_the_same_bytes(archive: Archive, history: Chronicle, tmp_path: Path) -> None:
    once, again = (content(written(tmp_path / name, archive, history)) for name in ("one", "two"))
    assert {n: c for n, c in once.items() if "chain" not in n} == {
        n: c for n, c in again.items() if "chain" not in n
    }


def test_the_map_has_detections_where_the_store_has_them(
    archive: Archive, history: Chronicle, tmp_path: Path
) -> None:
    out = written(tmp_path / "out", archive, history)
    layers = {name for name, _ in pyogrio.list_layers(out / "history-0007.gpkg")}
    assert layers == {"site", "scenes", "hidden", "boxes", "perimeters", "things", "changes", "quantities"}
    boxes = gpd.read_file(out / "history-0007.gpkg", layer="boxes")
    assert len(boxes) == sum(not one.is_line for view in history.views for one in view.sightings)
    stored = archive.store.detections().set_index("detection")
    shifts = {view.scene_sha256: view.shift for view in history.views}
    frame = history.frame
    assert frame is not None
    for _, row in boxes.iterrows():
        shift = shifts[row["scene_sha256"]]
        mine = frame.in_metres(row.geometry)
        raw = shapely.affinity.translate(mine, shift.dx_m, shift.dy_m)
        assert raw.hausdorff_distance(frame.in_metres(stored.geometry[row["detection"]])) < 0.05
    assert set(boxes["thing"]) <= {track.id for track in history.tracks} | {None}


def test_pictures_show_the_same_ground_on_every_date(archive: Archive, history: Chronicle) -> None:
    dossier = dossier_of(archive, history)
    assert set(dossier.strip) == set(range(len(history.views)))
    for number, picture in dossier.strip.items():
        assert picture.across_m == pytest.approx(700 * 1.02, rel=0.01)
        drawn = [one for one in picture.outlines if one.cls != "hidden"]
        assert len(drawn) <= len(history.views[number].sightings)
        # Corrected by its shift, a thing lies at its place in every picture: x to the right, y down.
        for one, sighting in zip(drawn, history.views[number].sightings, strict=False):
            if len(drawn) == len(history.views[number].sightings) and not sighting.is_line:
                placed = history.views[number].placed(sighting.shape).centroid
                scale = picture.side_px / picture.across_m
                spot = one.shape.centroid
                middle = history.frame.in_metres(history.site.polygon).envelope.centroid
                assert spot.x == pytest.approx(picture.side_px / 2 + (placed.x - middle.x) * scale, abs=3)
                assert spot.y == pytest.approx(picture.side_px / 2 - (placed.y - middle.y) * scale, abs=3)


def test_a_scene_that_is_gone_has_no_picture_and_says_so(
    archive: Archive, history: Chronicle, tmp_path: Path, made: Path
) -> None:
    scenes = tmp_path / "elsewhere"
    (made / "scenes").rename(scenes)
    try:
        out = written(tmp_path / "out", archive, history)
    finally:
        scenes.rename(made / "scenes")
    text = unescape((out / "history-0007.en.html").read_text("utf-8"))
    assert text.count(words_of("en")("strip.missing")) >= len(history.views)
    assert "data:image" not in text


# --- for publication


def precise(history: Chronicle) -> set[float]:
    """Every coordinate of the site in degrees, and its place."""
    frame, found = history.frame, set[float]()
    assert frame is not None
    shapes = [one.shape for view in history.views for one in (*view.sightings, *view.rejected)]
    shapes += [view.placed(one.shape) for view in history.views for one in view.sightings]
    shapes += [track.shape for track in history.tracks] + [view.looked for view in history.views]
    for shape in shapes:
        found |= set(np.round(shapely.get_coordinates(frame.in_degrees(shape)), 7).ravel().tolist())
    found |= set(shapely.get_coordinates(history.site.polygon).ravel().tolist())
    return found | {frame.lon, frame.lat}


def numbers(text: str) -> set[float]:
    return {float(one) for one in re.findall(r"-?\d+\.\d{3,}", text)}


@pytest.mark.parametrize("redact", [False, True])
def test_no_precise_place_is_left_anywhere(
    archive: Archive, history: Chronicle, tmp_path: Path, *, redact: bool
) -> None:
    whole = content(written(tmp_path / "whole", archive, history))
    out = content(written(tmp_path / "out", archive, history, Discretion(20, redact=redact)))
    places = precise(history)
    told = Discretion(20).place(history.frame.lon, history.frame.lat)
    near = {one for one in places if abs(one - history.frame.lon) < 1}
    west, east = min(near), max(near)
    assert not west <= told[0] <= east  # else the search below would find the cell itself
    entries = [
        one for one in archive.catalog.scenes() if one.sha256 in {v.scene_sha256 for v in history.views}
    ]
    words = [one.id.rpartition("-")[0] for one in entries] + [Path(one.href).name for one in entries]
    words += [f"{v.acquired:%H:%M:%S}" for v in history.views] + [
        f"{v.acquired:%Y-%m-%dT%H}" for v in history.views
    ]
    for name, raw in out.items():
        text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", raw.decode("utf-8", errors="replace"))
        assert [one for one in numbers(text) if west <= one <= east] == [], name
        assert [one for one in numbers(text) if round(one, 4) in {round(p, 4) for p in places}] == [], name
        assert [word for word in words if word in text] == [], name
    packed = {struct.pack(order + "d", one) for one in places for order in "<>"}
    for name, raw in out.items():
        assert [one for one in packed if one in raw] == [], name
    assert any(one in whole["history-0007.gpkg"] for one in packed)  # the search finds what is there
    for layer, kind in pyogrio.list_layers(tmp_path / "out" / "history-0007.gpkg"):
        if kind is not None:
            rows = gpd.read_file(tmp_path / "out" / "history-0007.gpkg", layer=layer)
            assert {(round(p.x, 6), round(p.y, 6)) for p in rows.geometry} <= {told}, layer
    chain = [json.loads(line) for line in out["history-0007.chain.jsonl"].decode().splitlines()]
    assert {one["kind"] for one in chain if "facts" in one} == {"weights.registered", "export.made"}
    checked(tmp_path / "out" / "history-0007.chain.jsonl", tmp_path / "out" / "history-0007.gpkg")


def test_pictures_for_publication_are_coarse_and_carry_nothing(
    archive: Archive, history: Chronicle, tmp_path: Path
) -> None:
    out = content(written(tmp_path / "out", archive, history, Discretion(20)))
    found = list(pictures(out["history-0007.en.html"]))
    assert found
    for image in found:
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert not image.getexif()
        grey = np.asarray(image.convert("L"), np.float64)
        cells = 700 * 1.02 / GRAIN_M  # no more than so many across; what is finer than two cells is not there
        power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
        wave = np.abs(np.fft.fftfreq(len(grey)) * len(grey))
        fine = np.maximum(*np.meshgrid(wave, wave)) > 2.5 * cells
        assert power[fine].sum() < 0.05 * power.sum() + 1


@pytest.mark.parametrize("discretion", [Discretion(redact=True), Discretion(20), Discretion(20, redact=True)])
def test_reviewers_are_left_out(
    archive: Archive, history: Chronicle, tmp_path: Path, discretion: Discretion
) -> None:
    out = content(written(tmp_path / "out", archive, history, discretion))
    authors = {rule.author for rule in history.rules}
    for name, raw in out.items():
        if discretion.redact:
            assert REVIEWER.encode() not in raw, name
            assert [one for one in authors if one.encode() in raw] == [], name
        if "chain" in name:
            assert REVIEWER.encode() not in raw, name
    if not discretion.redact:
        assert REVIEWER.encode() in out["history-0007.en.html"]


def test_a_site_named_by_its_place_is_told_by_its_number(
    archive: Archive, history: Chronicle, tmp_path: Path
) -> None:
    hidden = replace(history, site=Site("3.92873, 129.0", (), history.site.polygon))
    out = written(tmp_path / "out", archive, hidden, Discretion(20))
    for path in out.iterdir():
        assert "3.92873" not in path.name
        assert b"3.92873" not in path.read_bytes()


# --- printing


@pytest.mark.skipif(browser() is None, reason="no Chromium on this machine")
def test_a_page_is_printed(archive: Archive, history: Chronicle, tmp_path: Path) -> None:
    left = write_dossier(
        tmp_path, archive, dossier_of(archive, history, pictures=0), ("ko",), chromium=browser()
    )
    assert left.remarks == ()
    raw = (tmp_path / "history-0007.ko.pdf").read_bytes()
    assert raw.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", raw)) >= 2
    assert b"file://" not in raw
    checked(tmp_path / "history-0007.chain.jsonl", tmp_path / "history-0007.ko.pdf")


def test_a_printer_that_fails_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>")
    why = print_pdf(tmp_path / "page.html", tmp_path / "page.pdf", "/bin/false")
    assert why is not None
    assert why.startswith("false did not print (status 1)")
    assert not (tmp_path / "page.pdf").exists()


# --- the program


def report(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "inference" / "report.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def program() -> App:
    """The program, in this process."""
    spec = importlib.util.spec_from_file_location("report_program", ROOT / "inference" / "report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: App = module.app
    return app


def test_all_sites_have_a_dossier_and_an_index(archive: Archive, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = report(archive.folder, "--out", out, "--language", "en", "ko", "--no-pdf", "--pictures", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"2 sites: {out / 'index.en.html'}"
    assert "no scene of this site" in (out / "요덕-15호.en.html").read_text("utf-8")
    text = (out / "index.ko.html").read_text("utf-8")
    links = re.findall(r'href="([^"#][^"]*)"', text)
    assert {link.partition("#")[0] for link in links} == {"history-0007.ko.html", "요덕-15호.ko.html"}
    for link in links:
        name, _, anchor = link.partition("#")
        target = (out / name).read_text("utf-8")
        assert not anchor or f'id="{anchor}"' in target
    checked(out / "index.chain.jsonl", out / "index.ko.html")


def test_a_site_that_these_weights_have_not_seen_is_named_in_the_index(
    archive: Archive, tmp_path: Path
) -> None:
    words = ["--weights", "pretended", "--no-pdf", "--pictures", "0"]
    program()(
        [str(archive.folder), "--out", str(tmp_path), *words],
        exit_on_error=False,
        result_action="return_none",
    )
    text = (tmp_path / "index.en.html").read_text("utf-8")
    assert f"{EMPTY}</th><td>these weights have scored none of its scenes</td>" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--site", "Nowhere"), "expected a site of the archive (History 0007, 요덕 15호), got 'Nowhere'"),
        (("--coarsen-km", "0.01"), "expected --coarsen-km from 0.5 to 500, got 0.01"),
        (("--language", "fr"), "expected one of the languages en, ko, got 'fr'"),
        (("--pictures", "-1"), "expected --pictures from 0, got -1"),
        (("--site", "History 0007", "--weights", "none"), "expected weights that have scored"),
        (("--rules", "none.toml"), "expected a TOML file of rules at none.toml"),
    ],
)
def test_bad_input_is_refused(made: Path, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    with pytest.raises(PitheadError, match=re.escape(told)):
        program()([str(made), "--out", str(tmp_path / "out"), "--no-pdf", *words], exit_on_error=False)
    assert not (tmp_path / "out").exists()


def test_an_archive_without_sites_says_so(tmp_path: Path) -> None:
    Archive.open(tmp_path / "archive", make=True)
    done = report(tmp_path / "archive", "--out", tmp_path / "out", "--no-pdf")
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected an archive with sites, got one without")
    assert done.stderr.count("\n") == 1
