"""Do 200 tiles chosen by `pithead.acquisition` teach more than 200 random ones?

For each seed: a first model learns from few random tiles; then 200 tiles of the pool are chosen by its doubt,
and 200 others at random. From the same first model, on the same number of steps, one model learns from the
first tiles and the chosen ones, another from the first tiles and the random ones. Both are measured on tiles
of scenes that are not in the pool (AP50 as `training/train.py` validates). Runs that are finished are kept.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cyclopts import App
from PIL import Image
from rich.console import Console
from rich.table import Table

from pithead.acquisition import Candidate, choose, describe, uncertainty
from pithead.dataset import Tile, read_manifest, write_manifest
from pithead.detector import Detector
from pithead.files import write_whole
from pithead.program import run
from pithead.recipe import Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
FLOOR = 0.02
app = App(help_format="plaintext", version_flags=())


@dataclass(frozen=True, slots=True)
class Plan:
    """What all seeds share."""

    out: Path
    weights: Path
    first: int
    count: int
    steps_first: int
    steps: int
    tile_px: int
    threads: int


@app.default
def picked(  # noqa: PLR0913 (options of a command line)
    *,
    weights: Path,
    out: Path = ROOT / "out" / "picked",
    seeds: int = 5,
    scenes: int = 480,
    held_out: int = 160,
    first: int = 80,
    count: int = 200,
    steps_first: int = 250,
    steps: int = 400,
    tile: int = 320,
    threads: int = 2,
) -> None:
    """Compare chosen with random tiles, and print a table.

    Args:
        weights: Starting weights of the network, such as yolo26n-obb.pt.
        out: Folder for scenes, tiles and runs; a finished run is not run again.
        seeds: How many repetitions.
        scenes: Generated scenes of the pool (640 px at 0.6 m, kind "mixed").
        held_out: Generated scenes to measure on.
        first: Random tiles that the first model learns from.
        count: Tiles that are chosen.
        steps_first: Steps of the first model.
        steps: Steps of each of the two others.
        tile: Side of a tile in pixels.
        threads: CPU threads of the training.
    """
    plan = Plan(out.resolve(), weights.resolve(), first, count, steps_first, steps, tile, threads)
    pool = tiles_of(plan, "pool", scenes, 200_000)
    held = tiles_of(plan, "held", held_out, 300_000)
    rows = []
    for seed in range(seeds):
        rows.append(compare(plan, pool, held, seed))
        report(rows)
        write_whole(out / "picked.json", json.dumps(rows, indent=1) + "\n")


def tiles_of(plan: Plan, name: str, scenes: int, seed: int) -> list[Tile]:
    """The tiles of generated scenes with exact labels, empty ones too; made unless they are there."""
    folder, cut = plan.out / name, plan.out / f"{name}_tiles"
    if not (cut / "manifest.jsonl").is_file():
        program(
            "datasets/generate.py", folder, "--count", scenes, "--seed", seed, "--size", 640,
            "--gsd", 0.6, 0.6, "--kind", "mixed", "--workers", 2,
        )  # fmt: skip
        program(
            "datasets/cut.py", folder, "--labels", folder / "labels.jsonl", "--out", cut, "--tile",
            plan.tile_px, "--overlap", 0, "--empty-fraction", 0.99,
        )  # fmt: skip
    return [
        replace(
            tile,
            path=f"../../{cut.name}/{tile.path}",
            labels=f"../../{cut.name}/{tile.labels}",
            ignores=f"../../{cut.name}/{tile.ignores}" if tile.ignores else None,
        )
        for tile in read_manifest(cut)
    ]


def compare(plan: Plan, pool: Sequence[Tile], held: Sequence[Tile], seed: int) -> dict[str, float]:
    """Train the three models of one seed and measure the last two."""
    order = np.random.default_rng([seed, 5]).permutation(len(pool))
    begun, rest = order[: plan.first], order[plan.first :]
    first = train(plan, f"first_{seed}", [pool[i] for i in begun], held, plan.weights, plan.steps_first)
    detector = Detector.open(exported(first), threads=plan.threads)
    candidates = [candidate(plan, pool[i], detector) for i in rest]
    chosen = [rest[p.index] for p in choose(candidates, plan.count)]
    random = rest[: plan.count]  # the rest is in random order
    found: dict[str, float] = {"seed": seed, "first": result(first)}
    for name, added in (("chosen", chosen), ("random", random)):
        tiles = [pool[i] for i in (*begun, *added)]
        folder = train(plan, f"{name}_{seed}", tiles, held, first / "weights" / "best.pt", plan.steps)
        found[name] = result(folder)
        found[f"{name}_objects"] = sum(sum(pool[i].counts.values()) for i in added)
        found[f"{name}_empty"] = sum(not pool[i].counts for i in added)
    return found


def candidate(plan: Plan, tile: Tile, detector: Detector) -> Candidate:
    """A tile of the pool as the model sees it."""
    with Image.open((plan.out / "runs" / "data" / tile.path).resolve()) as image:
        pixels = np.asarray(image.convert("RGB"))
    rows = detector.raw(pixels[None])[0]
    rows = rows[rows[:, 5] >= FLOOR]
    thresholds = [known.threshold for known in detector.card.classes]
    doubt = uncertainty(rows, thresholds)
    return Candidate(
        tile.scene, tile.window, tile.site, "unknown", doubt, np.zeros_like(doubt), describe(pixels)
    )


def train(
    plan: Plan, name: str, tiles: Sequence[Tile], held: Sequence[Tile], weights: Path, steps: int
) -> Path:
    """A run on some tiles, measured on the held-out ones at its end; its folder."""
    folder = plan.out / "runs" / name
    if (folder / "done").is_file():
        return folder
    data = plan.out / "runs" / f"{name}_data"
    write_manifest(data, [replace(t, split="train") for t in tiles] + [replace(t, split="val") for t in held])
    recipe = replace(
        recipe_of(plan),
        name=name, weights=str(weights), dataset=str(data), epochs=-(-steps * 8 // len(tiles)),
    )  # fmt: skip
    path = plan.out / "runs" / f"{name}.toml"
    write_whole(path, recipe.to_toml())
    program("training/train.py", path, "--out", plan.out / "runs", "--resume")
    write_whole(folder / "done", "")
    return folder


def recipe_of(plan: Plan) -> Recipe:
    """The smoke recipe with tiles of this size."""
    return replace(
        read_recipe(ROOT / "training" / "recipes" / "smoke.toml"),
        tile_px=plan.tile_px, batch=8, threads=plan.threads, warmup_epochs=1.0, val_tiles=-1,
    )  # fmt: skip


def exported(folder: Path) -> Path:
    """The run as ONNX with a card."""
    path = folder / "first.onnx"
    if not path.is_file():
        program("training/export.py", folder, "--out", path, "--tiles", 2, "--threshold", 0.25)
    return path


def result(folder: Path) -> float:
    """The best AP50 on the held-out tiles."""
    best = json.loads((folder / "run.json").read_text("utf-8"))["best"]
    return float(best["metrics/mAP50(B)"])


def program(name: str, *arguments: object) -> None:
    """Run a program of this checkout; what it prints is shown."""
    subprocess.run([sys.executable, str(ROOT / name), *map(str, arguments)], check=True)  # noqa: S603


def report(rows: Sequence[dict[str, float]]) -> None:
    """Print what is known so far."""
    table = Table("seed", "first", "chosen", "random", "objects", "objects, random", "empty", "empty, random")
    for row in rows:
        table.add_row(
            str(row["seed"]),
            *(f"{row[key]:.3f}" for key in ("first", "chosen", "random")),
            *(str(row[key]) for key in ("chosen_objects", "random_objects", "chosen_empty", "random_empty")),
        )
    Console().print(table)
    better = sum(row["chosen"] > row["random"] for row in rows)
    print(f"chosen beats random in {better} of {len(rows)} seeds", flush=True)


if __name__ == "__main__":
    run(app)
