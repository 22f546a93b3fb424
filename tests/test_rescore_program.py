"""inference/rescore.py as a person types it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import pytest
from conftest import MakeOnnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from oracle import position_scene
from test_scan import write_scene

ROOT = Path(__file__).resolve().parents[1]
SIDE = 400  # 9 tiles of 256 px

pytest.importorskip("duckdb", reason="the archive's packages are not installed")


def call(*words: object, ok: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "inference" / "rescore.py", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    if not ok:
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def weights(make_onnx: MakeOnnx) -> Path:
    return make_onnx([[128, 128, 60, 30, 0.3, 0.9, 1]])


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    folder = tmp_path / "scenes"
    folder.mkdir()
    for i in range(2):
        pixels = position_scene(SIDE, SIDE)
        pixels[0, 0] = i
        write_scene(folder / f"scene{i}.tif", pixels)
    return folder


def test_from_scenes_to_an_export_that_others_can_check(tmp_path: Path, scenes: Path, weights: Path) -> None:
    archive = tmp_path / "archive"
    told = call(archive, "--add", scenes, "--site", "Camp 15", "--date", "2019-03-12", "--sensor", "WV02")
    assert "2 new scenes, 0 known before" in told
    told = call(archive, "--weights", weights, "--dry-run")
    assert "2 scenes to score" in told
    assert "18 tiles" in told
    told = call(archive, "--weights", weights, "--workers", "1", "--site", "Camp 15")
    assert "2 scenes scored" in told
    told = call(archive, "--weights", weights)
    assert "0 scenes to score" in told
    assert "2 scored before" in told
    told = call(archive)
    assert "scenes: 2, 0.1 km², 2019-03-12 to 2019-03-12" in told
    assert "site: Camp 15, on 2 scenes" in told
    assert "scored: 2 scenes by constant" in told
    out = tmp_path / "camp15.gpkg"
    told = call(archive, "--export", out, "--site", "Camp 15", "--compact", "--verify")
    assert "the log is whole" in told
    frame = gpd.read_file(out, layer="boxes")
    assert set(frame["site"]) == {"Camp 15"}
    assert frame.crs.to_epsg() == 4326
    assert len(frame) > 10
    chain = tmp_path / "camp15.gpkg.chain.jsonl"
    checked = [sys.executable, str(ROOT / "inference" / "check_chain.py"), str(chain)]
    assert subprocess.run(checked, check=False, capture_output=True).returncode == 0
    lines = chain.read_text().replace(frame["scene"].iloc[0], "x" * 12)
    chain.write_text(lines)
    assert subprocess.run(checked, check=False, capture_output=True).returncode != 0
    status = json.loads((archive / "status.json").read_text())
    assert (status["state"], status["scenes_done"], status["tiles_done"]) == ("ended", 2, 18)
    assert "pithead_rescore_scenes_done 2.0" in (archive / "status.prom").read_text()


def test_verify_names_what_was_changed(tmp_path: Path, scenes: Path, weights: Path) -> None:
    archive = tmp_path / "archive"
    call(archive, "--add", scenes, "--weights", weights, "--workers", "1", "--quiet")
    (rows,) = [p for p in archive.glob("store/detections/*/*/*.parquet") if "scene0" in p.name]
    rows.unlink()
    scene = scenes / "scene1.tif"
    scene.write_bytes(scene.read_bytes()[:-1] + b"\1")
    log = archive / "log.jsonl"
    log.write_text(log.read_text().replace('"rows":', '"Rows":', 1))
    told = call(archive, "--verify", ok=False)
    assert "log.jsonl, line" in told
    assert "scene0" in told
    assert "scene1" in told
    assert "faults found" in told


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "expected an archive there"),
        (("--dry-run",), "--weights with --dry-run"),
        (("--dry-run", "--weights", "w.onnx", "--export", "out.csv"), "nothing that writes"),
        (("--weights", "w.onnx", "--workers", "0"), "at least 1 worker"),
        (("--add", "nothing.tif", "--date", "yesterday"), "expected a date such as"),
        (("--add", "nothing.tif"), "not taken in"),
        (("--add", "nothing.tif", "--weights", "none.onnx"), "not taken in"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    assert expected in call(tmp_path / "archive", *words, ok=False)


def test_a_broken_scene_stops_no_other(tmp_path: Path, scenes: Path, weights: Path) -> None:
    archive = tmp_path / "archive"
    broken = scenes / "scene0.tif"
    whole = broken.read_bytes()
    call(archive, "--add", scenes)
    entry = json.loads(next(archive.glob("*/scene0-*/*.json")).read_text())
    assert entry["type"] == "Feature"
    # The same size and time, but other bytes: nobody notices before it is read or verified.
    stat = broken.stat()
    broken.write_bytes(b"x" * len(whole))

    os.utime(broken, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    told = call(archive, "--weights", weights, "--workers", "1", ok=False)
    assert "1 of 2 scenes have no result" in told
    broken.write_bytes(whole)
    os.utime(broken, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    told = call(archive, "--weights", weights, ok=False)
    assert "0 scenes to score" in told
    assert "set aside before (--retry-failed)" in told
    assert "1 scene scored" in call(archive, "--weights", weights, "--retry-failed", "--workers", "1")


def test_a_run_that_is_ended_by_its_manager_goes_on(tmp_path: Path, scenes: Path, weights: Path) -> None:
    archive = tmp_path / "archive"
    call(archive, "--add", scenes)
    words = [archive, "--weights", weights, "--workers", "1"]
    program = [sys.executable, ROOT / "inference" / "rescore.py", *words]
    running = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    status = archive / "status.json"
    until = time.monotonic() + 60
    while not status.exists() and time.monotonic() < until:  # it is there before a worker is
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    _, told = running.communicate(timeout=60)
    assert (running.returncode, told) == (130, "stopped\n")
    assert json.loads(status.read_text())["state"] == "stopped"
    assert "scored in" in call(*words)
    assert "the log is whole" in call(archive, "--verify")


def test_a_signed_export_is_signed_with_its_own_record(tmp_path: Path, scenes: Path, weights: Path) -> None:
    archive, key, public = tmp_path / "archive", tmp_path / "key.pem", tmp_path / "key.pub"
    made = Ed25519PrivateKey.generate()
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    call(archive, "--add", scenes, "--weights", weights, "--workers", "1", "--quiet")
    out = tmp_path / "all.csv"
    assert "2 scenes in" in call(archive, "--export", out, "--sign", key)
    words = [f"{out}.chain.jsonl", "--file", str(out), "--key", str(public)]
    program = [sys.executable, str(ROOT / "inference" / "check_chain.py"), *words]
    assert subprocess.run(program, check=False, capture_output=True).returncode == 0
    out.write_text(out.read_text() + "x")
    assert subprocess.run(program, check=False, capture_output=True).returncode == 1
    # The lines of the README say the same of the links.
    told = (ROOT / "inference" / "README.md").read_text(encoding="utf-8")
    lines = tmp_path / "lines.py"
    lines.write_text("import hashlib" + told.split("```python\nimport hashlib", 1)[1].split("```")[0])
    chain = Path(f"{out}.chain.jsonl")
    plain = [sys.executable, "-I", str(lines), str(chain)]
    assert "records hold together" in subprocess.run(plain, check=True, capture_output=True, text=True).stdout
    chain.write_text(chain.read_text().replace('"rows":', '"Rows":', 1))
    assert subprocess.run(plain, check=False, capture_output=True).returncode == 1
