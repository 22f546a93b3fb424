"""The shape of the house: who may import whom, what never reaches a server, how long a function may be."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A module imports only modules before it. DESIGN.md prints the same list; a test holds the two together.
ORDER = (
    "errors",
    "dates",
    "files",
    "program",
    "geometry",
    "imagery",
    "tiling",
    "aoi",
    "classes",
    "labels",
    "studio",
    "generate",
    "sources",
    "dataset",
    "folds",
    "cutting",
    "likeness",
    "checks",
    "contact",
    "metrics",
    "intervals",
    "agreement",
    "calibration",
    "card",
    "manifest",
    "leaflet",
    "detector",
    "seams",
    "courses",
    "lines",
    "strips",
    "detections",
    "scan",
    "sidefiles",
    "acquisition",
    "evaluation",
    "trial",
    "vectors",
    "picture",
    "footprint",
    "stac",
    "results",
    "shelf",
    "evidence",
    "review",
    "store",
    "catalog",
    "rescore",
    "pretend",
    "changes",
    "sites",
    "report",
    "server",
    "recipe",
    "augment",
    "learning",
    "stamp",
    "half",
    "quantize",
    "export",
)
TRAINING = frozenset({"augment", "learning", "export"})
STAGES = ("datasets", "training", "weights", "inference", "labeling", "benchmarks")
# Heavy or chatty packages, and the only places that may import them (module names of pithead, or paths).
# Benchmarks run other tools beside pithead, in processes of their own, and write scenes of any size for them.
RASTERS = frozenset({"geometry", "imagery", "benchmarks/peers.py", "benchmarks/bench_scenes.py"})
TRAINERS = frozenset({"torch", "torchvision", "ultralytics", "albumentations", "cv2"})
GATES = {
    "rasterio": RASTERS,
    "pyproj": RASTERS,
    "onnxruntime": frozenset({"detector", "export", "half", "quantize", "benchmarks/peers.py"}),
    "ray": frozenset({"rescore", "benchmarks/archive_faults.py", "benchmarks/archive.py"}),
    "duckdb": frozenset({"store"}),
    "bentoml": frozenset({"inference/service.py", "benchmarks/peer_bento.py"}),
    **dict.fromkeys(
        ("fastapi", "starlette", "rio_tiler"),
        frozenset({"server", "inference/service.py", "benchmarks/peer_litserve.py"}),
    ),
    **dict.fromkeys(
        TRAINERS,
        TRAINING | {"benchmarks/peers.py", "benchmarks/plain_baseline.py", "benchmarks/peer_bento.py"},
    ),
}
MOST_LINES = 40
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
MODULES = sorted((ROOT / "pithead").rglob("*.py"))
PROGRAMS = sorted(path for stage in STAGES for path in (ROOT / stage).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """`pithead/imagery/cog.py` and `pithead/imagery.py` are both `imagery`; the package itself is ''."""
    name = path.relative_to(ROOT / "pithead").parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def imports(path: Path) -> Iterator[str]:
    """Every dotted name a file imports, at any depth of it; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    parts = (name.split(".") for name in imports(path))
    return {name[1] for name in parts if name[0] == "pithead" and len(name) > 1 and name[1] != "__version__"}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_imports_only_modules_before_it(path: Path) -> None:
    here = module_of(path)
    if not here:
        assert not own_imports(path)
        return
    assert here in ORDER, f"{here} is new: give it a place in ORDER and in DESIGN.md"
    allowed = set(ORDER[: ORDER.index(here) + 1])
    assert own_imports(path) <= allowed, f"{relative(path)} imports a module that comes after it"


def test_design_prints_the_same_order() -> None:
    block = re.search(r"```order\n(.*?)```", (ROOT / "DESIGN.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block, "DESIGN.md has no ```order block"
    assert tuple(block[1].split()) == ORDER


@pytest.mark.parametrize("path", [*MODULES, *PROGRAMS], ids=relative)
def test_heavy_packages_stay_behind_their_gates(path: Path) -> None:
    place = module_of(path) if path.is_relative_to(ROOT / "pithead") else relative(path)
    for package in {name.split(".")[0] for name in imports(path)} & GATES.keys():
        assert place in GATES[package], (
            f"{relative(path)} imports {package}; only {sorted(GATES[package])} may"
        )


@pytest.mark.parametrize("path", [path for path in PROGRAMS if "inference" in path.parts], ids=relative)
def test_nothing_that_serves_names_the_trainers(path: Path) -> None:
    assert not own_imports(path) & TRAINING


def test_everything_but_training_imports_without_torch() -> None:
    serving = [f"pithead.{name}" for name in ORDER if name not in TRAINING | {"generate"}]
    names = [name for name in serving if any((ROOT / name.replace(".", "/")).parent.glob(f"{name[8:]}*"))]
    files = [str(path) for path in PROGRAMS if path.parent.name == "inference"]
    program = f"""
import importlib, importlib.util, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(TRAINERS)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
for name in {names!r}:
    importlib.import_module(name)
for number, file in enumerate({files!r}):
    spec = importlib.util.spec_from_file_location(f"program_{{number}}", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
assert not set(sys.modules) & set({sorted(TRAINERS)!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BENTOML_DO_NOT_TRACK": "True"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_stage_folders_are_no_packages(stage: str) -> None:
    # datasets/__init__.py would shadow the well-known package of that name, even uninstalled.
    assert not [relative(path) for path in (ROOT / stage).rglob("__init__.py")]


@pytest.mark.parametrize("path", PROGRAMS, ids=relative)
def test_a_program_shadows_no_package(path: Path) -> None:
    # A program's own folder is the first place Python looks.
    taken = set(sys.stdlib_module_names) | set(GATES) | {"numpy", "shapely", "PIL", "pithead", "rich", "onnx"}
    assert path.stem not in taken


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its lines from `def` to the end, less the docstring: prose does not make a function hard."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        prose = function.body[0]
        lines -= (prose.end_lineno or prose.lineno) - prose.lineno + 1
    return lines


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > MOST_LINES:
            yield f"{relative(path)}:{node.lineno} {node.name} has {lines_of(node)} lines"


@pytest.mark.parametrize("path", [*MODULES, *PROGRAMS], ids=relative)
def test_functions_fit_on_a_screen(path: Path) -> None:
    assert not list(long_functions(path))


@pytest.mark.parametrize("path", LOCKS, ids=relative)
def test_locks_carry_hashes_and_name_no_registry(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text
    pins = re.findall(r"^\S+==.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)*", text, re.MULTILINE)
    assert pins
    assert [pin.splitlines()[0] for pin in pins if "--hash" not in pin] == []


@pytest.mark.parametrize("name", ["scan", "serve", "archive", "labeling"])
def test_only_trainers_lock_torch(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE))
    assert not pinned & {"torch", "torchvision", "ultralytics", "albumentations"}
    assert not any(name.startswith("opencv") for name in pinned)


def test_every_extra_has_its_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {path.stem for path in LOCKS} | {"catalog"} == {  # what archive and serve have in common
        *project["optional-dependencies"],
        "installer",
        "bench",
        "labelstudio",
    }


@pytest.mark.parametrize(
    "setting",
    [
        "BENTOML_DO_NOT_TRACK := True",
        "ORT_DISABLE_TELEMETRY := 1",
        "YOLO_OFFLINE := True",
        "NO_ALBUMENTATIONS_UPDATE := 1",
        "RAY_USAGE_STATS_ENABLED := 0",
    ],
)
def test_make_switches_telemetry_off(setting: str) -> None:
    assert f"export {setting}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
