"""Make generated scenes with exact labels: OUT/<scene>.tif and OUT/labels.jsonl."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cyclopts
import numpy as np
from affine import Affine

from pithead.errors import OptionError
from pithead.generate.canvas import Truth
from pithead.generate.scene import GeneratedScene, generate_scene
from pithead.imagery import write_cog
from pithead.program import run

app = cyclopts.App(name="generate", help_format="markdown")

EAST_M, NORTH_M = 500_000.0, 4_649_776.0  # 129° E, 42° N in EPSG:32652
COLOURS = {1: ("gray",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "nir")}


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker needs to make one scene."""

    out: Path
    seed: int
    size_px: int
    gsd_min_m: float
    gsd_max_m: float
    kind: str
    density: float
    mode: str | None
    bits: int | None
    jpeg: int | None

    @property
    def name(self) -> str:
        """Name of the scene, without suffix."""
        return f"generated_{self.seed:06d}"


def label_row(image: str, truth: Truth) -> dict[str, object]:
    """One line of labels.jsonl: scene pixels to 1/100."""
    points = np.round(truth.points_m, 2).tolist()
    row: dict[str, object] = {"image": image, "class": truth.class_name, "confidence": "sure"}
    if truth.class_name == "guard_perimeter" or len(points) != 4:
        row |= {"line": points, "closed": truth.closed}
    else:
        row["polygon"] = points
    return row | {key: value for key, value in truth.attributes.items() if key not in row}


def placed(scene: GeneratedScene, seed: int) -> Affine:
    """Pixel to EPSG:32652: scenes of different seeds lie side by side, in a grid 20 km wide apart."""
    east, north = EAST_M + (seed % 8 - 4) * 20_000.0, NORTH_M + (seed // 8 % 20 - 10) * 20_000.0
    return Affine(scene.gsd_m, 0.0, east, 0.0, -scene.gsd_m, north)


def make(job: Job) -> str:
    """Make one scene unless it is there; the labels are written last and mark it as finished."""
    labels = job.out / "parts" / f"{job.name}.jsonl"
    picture = job.out / f"{job.name}.tif"
    if labels.exists() and picture.exists():
        return job.name
    chance = np.random.default_rng([job.seed, 7])
    gsd_m = round(float(np.exp(chance.uniform(np.log(job.gsd_min_m), np.log(job.gsd_max_m)))), 3)
    scene = generate_scene(
        job.seed,
        width_px=job.size_px,
        height_px=job.size_px,
        gsd_m=gsd_m,
        kind=job.kind,
        density=job.density,
        mode=job.mode,
        bits=job.bits,
    )
    write_cog(
        picture,
        scene.data,
        placed(scene, job.seed),
        "EPSG:32652",
        colorinterp=COLOURS[len(scene.data)],
        jpeg_quality=job.jpeg,
    )
    rows = [label_row(job.name, truth) for truth in scene.truths]
    none: dict[str, object] = {"image": job.name, "class": "none", "confidence": "sure"}
    text = "".join(json.dumps(row) + "\n" for row in rows or [none])
    partial = labels.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(labels)
    return job.name


def gather(out: Path) -> None:
    """Join the labels of every scene in the folder, in the order of the seeds."""
    parts = sorted((out / "parts").glob("*.jsonl"))
    partial = out / "labels.jsonl.partial"
    partial.write_text("".join(part.read_text(encoding="utf-8") for part in parts), encoding="utf-8")
    partial.replace(out / "labels.jsonl")


@app.default
def generate(  # noqa: PLR0913 - options of a program
    out: Path,
    *,
    count: int = 10,
    seed: int = 0,
    size: int = 1024,
    gsd: tuple[float, float] = (0.3, 1.2),
    kind: str = "training",
    density: float = 1.0,
    mode: str | None = None,
    bits: int | None = None,
    jpeg: int | None = None,
    workers: Annotated[int, cyclopts.Parameter(name=["--workers", "-j"])] = 1,
) -> None:
    """Make COUNT generated scenes of seeds SEED, SEED + 1, ... in OUT; finished ones are kept.

    Parameters
    ----------
    out
        Folder of the scenes and of labels.jsonl.
    count
        How many scenes.
    seed
        Seed of the first scene. The same seed and options give the same bytes, whatever the workers.
    size
        Width and height in pixels.
    gsd
        Least and most metres per pixel, drawn anew for each scene (0.3 to 1.2).
    kind
        training (many objects), mixed (like a real mine) or empty (none of the four classes).
    density
        Factor of the numbers of objects.
    mode
        pan, rgb or rgbn; drawn by chance if not given.
    bits
        8 or 11; drawn by chance if not given.
    jpeg
        JPEG quality of the files, 1 to 100 (8-bit pan or rgb only); lossless if not given.
    workers
        Scenes made at the same time.
    """
    if count < 1 or size < 64 or not 0.2 <= gsd[0] <= gsd[1] <= 2.0:
        message = (
            f"expected --count from 1, --size from 64, --gsd within 0.2 to 2.0 in rising order, got {count}, "
        )
        raise OptionError(f"{message}{size}, {gsd[0]} {gsd[1]}; choose others")
    if kind not in {"training", "mixed", "empty"} or mode not in {None, "pan", "rgb", "rgbn"}:
        raise OptionError(f"expected a known --kind and --mode, got {kind!r} and {mode!r}; see --help")
    if bits not in {None, 8, 11}:
        raise OptionError(f"expected --bits 8 or 11, got {bits}; leave it out for both")
    (out / "parts").mkdir(parents=True, exist_ok=True)
    jobs = [Job(out, seed + i, size, gsd[0], gsd[1], kind, density, mode, bits, jpeg) for i in range(count)]
    if workers <= 1:
        for number, job in enumerate(jobs, 1):
            print(f"{number}/{count} {make(job)}", flush=True)
    else:
        with ProcessPoolExecutor(workers) as pool:
            for number, name in enumerate(pool.map(make, jobs), 1):
                print(f"{number}/{count} {name}", flush=True)
    gather(out)


if __name__ == "__main__":
    run(app)
