"""Scenes on real images, and the large works that stand on any ground."""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from shapely import Polygon, box

from pithead.errors import GroundResolutionError, OptionError
from pithead.generate import backdrop, works
from pithead.generate.canvas import Canvas
from pithead.generate.parts import Points, inside_polygon
from pithead.generate.scene import FAST, generate_scene
from pithead.generate.sensor import Sensor, sense, softened

ROOT = Path(__file__).parents[1]
SMALL: dict[str, Any] = {"width_px": 160, "height_px": 160, "gsd_m": 1.0, "supersampling": FAST}


def image(pixels: npt.NDArray[np.uint8], gsd_m: float = 1.0) -> backdrop.Backdrop:
    return backdrop.Backdrop("meadow.png", "0" * 64, pixels, (gsd_m, gsd_m))


def grey(value: int, side: int = 200) -> npt.NDArray[np.uint8]:
    return np.full((side, side, 3), value, np.uint8)


@pytest.mark.parametrize("seed", range(16))
def test_the_sun_turns_with_the_image(seed: int) -> None:
    ramp = np.broadcast_to(np.linspace(220, 20, 200).astype(np.uint8)[:, None, None], (200, 200, 3))
    laid = backdrop.lay(image(ramp.copy()), (100, 100), 1.0, 0.0, np.random.default_rng(seed))
    down, right = (float(step.mean()) for step in np.gradient(laid.canvas.albedo[..., 0]))
    towards = np.deg2rad(laid.sun_azimuth_deg)  # north was bright, so it is where the sun at 0° now stands
    way = np.array([right, down]) / np.hypot(right, down)
    assert way == pytest.approx([np.sin(towards), -np.cos(towards)], abs=1e-3)


def test_all_eight_positions_come() -> None:
    corner = grey(40)
    corner[:80, :40] = 200
    found = set()
    for seed in range(60):
        laid = backdrop.lay(image(corner), (200, 200), 1.0, 30.0, np.random.default_rng(seed))
        bright = laid.canvas.albedo[..., 0] > 0.2
        rows, cols = np.nonzero(bright)
        found.add((rows.mean() < 100, cols.mean() < 100, bright.any(axis=0).sum() > bright.any(axis=1).sum()))
    assert len(found) == 8


def test_a_small_image_is_continued_without_a_seam() -> None:
    slope = np.broadcast_to(np.arange(40, 240, dtype=np.uint8)[None, :, None], (200, 200, 3))
    laid = backdrop.lay(image(slope.copy()), (700, 700), 1.0, 180.0, np.random.default_rng(2))
    step_y, step_x = (np.abs(np.diff(laid.canvas.albedo[..., 0], axis=axis)).max() for axis in (0, 1))
    assert max(step_y, step_x) < 0.012  # one level of the image is 0.005 at most, a seam would be 0.3
    assert laid.canvas.albedo.shape == (700, 700, 4)


def test_a_finer_canvas_knows_how_soft_its_ground_is() -> None:
    laid = backdrop.lay(image(grey(90), 1.0), (50, 50), 0.25, 180.0, np.random.default_rng(0))
    assert laid.soft_px == 4
    assert backdrop.lay(image(grey(90), 0.3), (50, 50), 0.6, 180.0, np.random.default_rng(0)).soft_px == 1
    assert softened(Sensor(blur_px=0.5), 2.0).blur_px == 2.0
    assert softened(Sensor(blur_px=0.5), 0.0).blur_px == 0.5


def test_a_black_wedge_is_left_out(tmp_path: Path) -> None:
    pixels = grey(120, 160)
    pixels[:, 100:] = 0
    Image.fromarray(pixels).save(tmp_path / "wedge.png")
    assert backdrop.read_backdrop(tmp_path / "wedge.png", 1.0).pixels.shape == (160, 100, 3)
    Image.fromarray(grey(0, 160)).save(tmp_path / "night.png")
    with pytest.raises(OptionError, match=r"night\.png: expected a backdrop of 64 pixels"):
        backdrop.read_backdrop(tmp_path / "night.png", 1.0)


def test_a_backdrop_says_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "field.png"
    Image.fromarray(grey(120, 100)).save(path)
    with pytest.raises(GroundResolutionError, match="--gsd"):
        backdrop.read_backdrop(path)
    found = backdrop.read_backdrop(path, 0.5)
    assert (found.name, found.gsd_m) == ("field.png", (0.5, 0.5))
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    scene = generate_scene(1, kind="training", backdrop=found, **SMALL)
    assert (scene.facts["backdrop"], scene.facts["backdrop_sha256"]) == ("field.png", found.sha256)
    assert "biome" not in scene.facts


def test_same_seed_and_backdrop_same_bytes() -> None:
    ground = image(grey(130))
    first, again = (generate_scene(5, kind="training", backdrop=ground, **SMALL) for _ in range(2))
    other = generate_scene(
        5, kind="training", backdrop=image(np.tri(200, dtype=np.uint8)[..., None] * grey(90)), **SMALL
    )
    assert first.data.tobytes() == again.data.tobytes()
    assert first.data.tobytes() != other.data.tobytes()


def test_coal_is_dark_where_the_label_says_so() -> None:
    checked = 0
    for seed in range(6):
        options = SMALL | {"width_px": 400, "height_px": 400, "kind": "training", "mode": "rgb", "bits": 8}
        scene = generate_scene(seed, backdrop=image(grey(170, 500)), **options)
        light = scene.data.mean(axis=0)
        x, y = (np.arange(400, dtype=np.float32) + 0.5 for _ in range(2))
        for truth in scene.truths:
            if truth.attributes.get("material") == "coal":
                within = inside_polygon(x[None, :], y[:, None], truth.points_m)
                checked += 1
                assert light[within].mean() < 0.7 * np.median(light)
    assert checked >= 4


def test_a_ground_without_objects_is_the_image() -> None:
    chequers = np.kron(np.indices((10, 10)).sum(axis=0) % 2, np.ones((20, 20)))[..., None] * 120 + 60
    laid = backdrop.lay(
        image(np.repeat(chequers, 3, 2).astype(np.uint8)), (200, 200), 1.0, 0.0, np.random.default_rng(1)
    )
    dark, bright = (laid.canvas.albedo[pick, pick, 0] for pick in (slice(5, 15), slice(5, 15)))
    assert np.unique(np.round(laid.canvas.albedo[10::20, 10::20, 0], 3)).size == 2
    assert dark.std() == pytest.approx(bright.std(), abs=1e-6)
    assert not laid.canvas.taken.any()
    assert not laid.canvas.height.any()


def test_pan_sharpening_softens_colours_and_keeps_brightness() -> None:
    light = np.zeros((64, 64, 4), np.float32)
    light[:, :32] = (0.5, 0.1, 0.3, 0.2)
    light[:, 32:] = (0.1, 0.5, 0.3, 0.2)
    plain, soft = (
        sense(light, Sensor(blur_px=0.4, noise=0, colour_px=px), np.random.default_rng(0), 1)
        for px in (0.0, 3.0)
    )
    edge = slice(29, 35)
    grey_of = [np.power(np.clip(p, 1, 255) / 255.0, 1 / 0.75).mean(axis=0) for p in (plain, soft)]
    assert np.abs(grey_of[0] - grey_of[1]).max() < 0.02
    assert int(soft[0, 32, edge].max()) - int(soft[0, 32, edge].min()) < 0.6 * (
        int(plain[0, 32, edge].max()) - int(plain[0, 32, edge].min())
    )


def built(seed: int, *, fenced: bool = True, targets: bool = True) -> tuple[Canvas, Points] | None:
    canvas = Canvas.flat(500, 500, 1.0, seed)
    ring = works.add_works(canvas, 0.3, np.random.default_rng(seed), fenced=fenced, targets=targets)
    return None if ring is None else (canvas, ring)


def test_works_leave_their_line_and_stand_inside_it() -> None:
    made = [found for seed in range(8) if (found := built(seed)) is not None]
    assert len(made) >= 3
    for canvas, ring in made:
        lines = [truth for truth in canvas.truths if truth.class_name == "guard_perimeter"]
        assert [truth.points_m.tolist() for truth in lines] == [ring.tolist()]
        assert lines[0].closed
        assert Polygon(ring).boundary.intersection(box(0, 0, 500, 500)).length >= 100
        around = Polygon(ring).buffer(40)
        for truth in canvas.truths:
            if truth.class_name == "coal_heap":
                assert around.intersects(Polygon(truth.points_m))


def test_works_without_a_fence_have_no_line_and_without_targets_none() -> None:
    made = [found for seed in range(8) if (found := built(seed, fenced=False, targets=False)) is not None]
    assert len(made) >= 3
    assert {truth.class_name for canvas, _ in made for truth in canvas.truths} == {"hard_negative"}


def test_works_need_room() -> None:
    canvas = Canvas.flat(500, 500, 1.0)
    canvas.taken[:] = True
    before = canvas.albedo.copy()
    for seed in range(5):
        assert works.add_works(canvas, 0.3, np.random.default_rng(seed)) is None
    assert canvas.truths == []
    assert np.array_equal(canvas.albedo, before)


@pytest.fixture(scope="module")
def program() -> Any:  # noqa: ANN401 (a program is no package)
    spec = importlib.util.spec_from_file_location("generate_on_backdrops", ROOT / "datasets" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_on_backdrops"] = module
    spec.loader.exec_module(module)
    return module


def test_the_program_records_on_what_each_scene_stands(tmp_path: Path, program: Any) -> None:  # noqa: ANN401
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, count in ((few, 1), (many, 4)):
        folder.mkdir()
        for number in range(count):
            Image.fromarray(grey(100 + 20 * number, 120)).save(folder / f"{folder.name}{number}.png")
    options = {"size": 96, "gsd": (1.0, 1.0), "fast": True, "count": 4, "backdrop": (few, many)}
    for name in ("one", "two"):
        program.generate(tmp_path / name, backdrop_gsd=(1.0, 0.5), **options)
    rows = [json.loads(line) for line in (tmp_path / "one" / "backdrops.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == [f"generated_00000{number}" for number in range(4)]
    for row in rows:
        assert row["sha256"] == hashlib.sha256((tmp_path / row["file"]).read_bytes()).hexdigest()
    labels = [json.loads(line) for line in (tmp_path / "one" / "labels.jsonl").read_text().splitlines()]
    grounds = {row["image"]: row["file"].removesuffix(".png") for row in rows}
    assert {line["image"]: line["site"] for line in labels} == grounds
    for name in ("backdrops.jsonl", "labels.jsonl", "generated_000003.tif"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_scene_on_another_image_is_made_anew(tmp_path: Path, program: Any) -> None:  # noqa: ANN401
    folder = tmp_path / "ground"
    folder.mkdir()
    options = {"size": 64, "gsd": (1.0, 1.0), "fast": True, "count": 1, "backdrop": (folder,)}
    made = []
    for value in (40, 200):
        pixels = np.tri(120, dtype=np.uint8)[..., None] * np.uint8(value) + grey(20, 120)
        Image.fromarray(pixels).save(folder / "a.png")
        program.generate(tmp_path / "out", backdrop_gsd=(1.0,), **options)
        made.append((tmp_path / "out" / "generated_000000.tif").read_bytes())
    assert made[0] != made[1]


def test_backdrops_that_are_no_use_stop_the_program_before_it_begins(tmp_path: Path, program: Any) -> None:  # noqa: ANN401
    folder = tmp_path / "ground"
    folder.mkdir()
    options = {"size": 64, "gsd": (1.0, 1.0), "fast": True, "count": 1, "backdrop": (folder,)}
    with pytest.raises(OptionError, match="expected images"):
        program.generate(tmp_path / "out", **options)
    Image.fromarray(grey(100, 120)).save(folder / "a.png")
    with pytest.raises(GroundResolutionError, match="--gsd"):
        program.generate(tmp_path / "out", **options)
    with pytest.raises(OptionError, match="a --backdrop-gsd for each --backdrop"):
        program.generate(tmp_path / "out", backdrop_gsd=(1.0, 1.0), **options)
    assert not list((tmp_path / "out").glob("*.tif"))


def test_only_what_is_finished_and_used_is_told(tmp_path: Path, program: Any) -> None:  # noqa: ANN401
    folder, out = tmp_path / "ground", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(grey(100, 120)).save(folder / "a.png")
    options = {"size": 64, "gsd": (1.0, 1.0), "fast": True}
    program.generate(out, count=2, backdrop=(folder,), backdrop_gsd=(1.0,), **options)
    assert (out / "backdrops.jsonl").exists()
    (out / "parts" / "generated_000001.json").unlink()  # as a kill leaves it
    program.generate(out, count=1, **options)
    assert {json.loads(line)["image"] for line in (out / "labels.jsonl").read_text().splitlines()} == {
        "generated_000000"
    }
    assert not (out / "backdrops.jsonl").exists()


@pytest.mark.parametrize(
    "odd",
    [
        {"seed": -1},
        {"density": -1.0},
        {"density": float("nan")},
        {"workers": 0},
        {"jpeg": 0, "bits": 8},
        {"jpeg": 80},  # a scene of 11 bits would come sooner or later
        {"backdrop_gsd": (1.0,)},
    ],
)
def test_numbers_that_are_no_use_stop_the_program(tmp_path: Path, program: Any, odd: dict[str, Any]) -> None:  # noqa: ANN401
    with pytest.raises(OptionError, match="expected"):
        program.generate(tmp_path / "out", count=1, size=64, **odd)
    assert not list(tmp_path.rglob("*.tif"))
