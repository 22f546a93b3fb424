"""The bento: what is packed is all that is needed, and it runs with what it says it needs."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest
from test_layers import TRAINERS, imports
from visit import visit

from pithead.files import sha256_of

ROOT: Final = Path(__file__).resolve().parents[1]
UV: Final = ROOT / ".uv" / "bin" / "uv"
PAGE: Final = ("app.css", "app.js", "icon.svg", "index.html", "LICENCES.txt", "sources.sha256", "worker.js")
NOT_PACKED: Final = {
    "augment",
    "learning",
    "export",
    "generate",
    "half",
    "quantize",
    "recipe",
    "stamp",
    "pretend",
}


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would find this checkout or say how its server is set up."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("PITHEAD_", "PYTHON", "BENTOML_"))}
    return ours | more


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bento, built as `make bento` builds it."""
    if not UV.is_file():
        pytest.skip("expected uv at .uv/bin: `make test` puts it there")
    home = tmp_path_factory.mktemp("bentoml")
    path = f"{UV.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--version", "1"],
        cwd=ROOT,
        env=environment(BENTOML_HOME=str(home), BENTOML_DO_NOT_TRACK="True", PATH=path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "bentos" / "pithead" / "1"


def test_what_is_packed_is_the_library_the_service_its_page_and_its_weights(bento: Path) -> None:
    source = bento / "src"
    packed = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    library = {path for path in packed if path.startswith("pithead/")}
    assert packed - library == {
        "bentofile.yaml",
        "LICENSE",
        "inference/service.py",
        "inference/signs.toml",
        *(f"inference/web/dist/{name}" for name in PAGE),
        "labeling/classes.toml",
        "weights/manifest.toml",
        "weights/starter.md",
        "weights/starter.onnx",
    }
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "pithead").rglob("*")
        if path.suffix in {".py", ".toml"}
        and path.relative_to(ROOT).parts[1].removesuffix(".py") not in NOT_PACKED
    }
    assert library == ours
    for path in ("weights/starter.onnx", "inference/web/dist/app.js"):
        assert sha256_of(source / path) == sha256_of(ROOT / path)


def test_nothing_that_is_packed_needs_what_is_not(bento: Path) -> None:
    for file in (bento / "src").rglob("*.py"):
        names = [name.split(".") for name in imports(file)]
        assert not {name[0] for name in names} & (TRAINERS | {"onnx"}), file
        assert not {name[1] for name in names if name[0] == "pithead" and len(name) > 1} & NOT_PACKED, file


def pins(path: Path) -> dict[str, str]:
    """Versions by package, of a lock."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_what_it_needs_is_the_lock_without_torch(bento: Path) -> None:
    needed = bento / "env" / "python" / "requirements.txt"
    assert pins(needed) == pins(ROOT / "requirements" / "serve.lock")
    assert not pins(needed).keys() & TRAINERS
    blocks = re.split(r"^(?=[a-z0-9._-]+==)", needed.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    # BentoML names itself once more at the end; the line before, with hashes, says which bytes it is.
    assert [one.strip() for one in blocks if "--hash=sha256:" not in one] == [
        f"bentoml=={version('bentoml')}"
    ]


@pytest.fixture(scope="module")
def python(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with what the bento needs, and nothing else."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    uv("venv", "--python", sys.executable, str(folder))
    needed = bento / "env" / "python" / "requirements.txt"
    done = uv(
        "pip", "sync", "--offline", "--verify-hashes", "--python", str(folder / "bin" / "python"), str(needed)
    )
    if done.returncode and re.search("offline|network was disabled|cache", done.stderr):
        pytest.skip(f"expected uv to have the packages at hand, it would have to fetch some: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "python"


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [UV, *arguments],
        env=environment(UV_PYTHON_DOWNLOADS="never"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_it_runs_with_no_more_than_it_says_it_needs(bento: Path, python: Path, tmp_path: Path) -> None:
    command = [str(python), "-m", "bentoml", "serve", str(bento)]
    before = {path for path in bento.rglob("*") if "__pycache__" not in path.parts}
    told = visit(tmp_path, command, environment(OMP_NUM_THREADS="1", BENTOML_HOME=str(tmp_path / "home")))
    assert (told.page, told.script, told.tile) == (200, 200, 200)
    assert told.weights == sha256_of(ROOT / "weights" / "starter.onnx")
    assert (told.job["state"], told.job["error"]) == ("done", None)
    assert told.job["detections"] == told.listed
    # What it keeps lies where it was started: a bento can be deleted.
    assert (tmp_path / "archive" / "catalog.json").is_file()
    assert {path for path in bento.rglob("*") if "__pycache__" not in path.parts} == before


def test_a_bento_does_not_keep_an_archive_in_itself(bento: Path) -> None:
    code = "import os; from pithead.server.settings import Settings; print(Settings.of(os.environ).archive)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=bento / "src",
        env=environment(PWD=str(bento)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    assert "expected PITHEAD_ARCHIVE to name the folder of the archive" in done.stderr
