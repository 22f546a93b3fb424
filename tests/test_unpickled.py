"""A pickle runs whatever it says when it is read: nothing that scans or serves reads one."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TILE_PX, MakeOnnx

ROOT = Path(__file__).resolve().parents[1]
READERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch", "onnx"}
SERVING = [ROOT / "inference" / "service.py", ROOT / "inference" / "scan.py"]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reached(path: Path, seen: set[Path]) -> set[Path]:
    """The file and every file of pithead that it imports, by way of whatever others."""
    if path not in seen:
        seen.add(path)
        for name in imported(path):
            if name.split(".")[0] != "pithead":
                continue
            place = ROOT / name.replace(".", "/")
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file():
                    reached(file, seen)
    return seen


@pytest.mark.parametrize("program", SERVING, ids=lambda path: path.name)
def test_nothing_that_serves_imports_what_unpickles(program: Path) -> None:
    files = reached(program, set())
    assert ROOT / "pithead" / "detector.py" in files
    for file in files:
        roots = {name.split(".")[0] for name in imported(file)}
        assert not roots & READERS, f"{file.name} imports {roots & READERS}"
        assert "allow_pickle" not in file.read_text("utf-8")


def test_scanning_unpickles_nothing(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    """Python tells of every class that a pickle asks for; from opening weights on there must be none."""
    from PIL import Image

    weights, scene = make_onnx([[128.0, 128.0, 60.0, 30.0, 0.0, 0.9, 1.0]]), tmp_path / "scene.png"
    Image.fromarray(np.full((TILE_PX, TILE_PX, 3), 90, np.uint8)).save(scene)
    program = f"""
import sys
from pithead.detector import Detector
from pithead.imagery import open_scene
from pithead.scan import scan
def refuse(event, arguments):
    if event.startswith(("pickle.", "marshal.load")):
        raise RuntimeError(event)
sys.addaudithook(refuse)
with open_scene({str(scene)!r}, gsd_m=0.6) as opened:
    found = scan(opened, Detector.open({str(weights)!r}))
assert len(found.scores) == 1
import pickle
try:
    pickle.loads(b"cos\\nsystem\\n.")
except RuntimeError:
    print("watched")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "watched\n"), done.stderr
