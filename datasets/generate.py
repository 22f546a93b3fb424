"""Make generated scenes with exact labels: OUT/<scene>.tif and OUT/labels.jsonl."""

import json
import math
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import cyclopts
import numpy as np
from affine import Affine

from pithead.errors import OptionError
from pithead.files import lines_of, write_whole
from pithead.generate.backdrop import backdrops_in, read_backdrop
from pithead.generate.canvas import Truth
from pithead.generate.scene import FAST, FINE, GeneratedScene, generate_scene
from pithead.imagery import write_cog
from pithead.labels.label import FACTS
from pithead.program import run

VERSION = 3  # raise it when the same options give other scenes
app = cyclopts.App(name="generate", help_format="markdown")

CRS = "EPSG:32652"
WEST_M, SOUTH_M, APART_M = 260_000.0, 400_000.0, 12_500.0  # within three degrees of 129° E
COLUMNS, ROWS = 40, 600  # so many scenes lie beside each other before one comes to lie on the first
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
    supersampling: int
    backdrop: Path | None = None
    backdrop_gsd_m: float | None = None
    backdrop_sha256: str | None = None

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
    """Pixel to EPSG:32652: scenes of different seeds lie side by side, 12.5 km apart.

    Two seeds share their place if they differ by a multiple of 24,000.
    """
    row, column = divmod(seed % (COLUMNS * ROWS), COLUMNS)
    east, north = WEST_M + column * APART_M, SOUTH_M + row * APART_M
    return Affine(scene.gsd_m, 0.0, east, 0.0, -scene.gsd_m, north)


def told(job: Job) -> str:
    """All that decides what a scene is: a marker of another text is of another scene."""
    options = {key: value for key, value in asdict(job).items() if key != "out"}
    options["backdrop"] = None if job.backdrop is None else "/".join(job.backdrop.parts[-2:])
    return json.dumps({"version": VERSION, **options}, sort_keys=True) + "\n"


def make(job: Job) -> str:
    """Make one scene unless it is there; its marker is written last and says by what options it was made."""
    labels, marker = (job.out / "parts" / f"{job.name}.{end}" for end in ("jsonl", "json"))
    picture = job.out / f"{job.name}.tif"
    if labels.exists() and picture.exists() and marker.exists() and marker.read_text("utf-8") == told(job):
        return job.name
    marker.unlink(missing_ok=True)
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
        supersampling=job.supersampling,
        backdrop=None if job.backdrop is None else read_backdrop(job.backdrop, job.backdrop_gsd_m),
    )
    write_cog(
        picture,
        scene.data,
        placed(scene, job.seed),
        CRS,
        colorinterp=COLOURS[len(scene.data)],
        jpeg_quality=job.jpeg,
        effort=1 if job.supersampling == FAST else 6,
    )
    rows = [label_row(job.name, truth) for truth in scene.truths]
    none: dict[str, object] = {"image": job.name, "class": "none", "confidence": "sure"}
    facts = {key: scene.facts[key] for key in FACTS if key in scene.facts}
    write_whole(labels, "".join(json.dumps(row | facts) + "\n" for row in rows or [none]))
    write_whole(marker, told(job))
    return job.name


def gather(out: Path) -> None:
    """Join the labels of every finished scene of the folder, by seed, and say on what scenes stand.

    Scenes on one image, or on chips of one image, are one site: they must not be parted into two folds. The
    site is named by the image and its folder, as `cut.py` names that of a background.
    """
    lines, rows = [], []
    for part in sorted((out / "parts").glob("*.jsonl")):
        marker = part.with_suffix(".json")
        if not marker.exists():  # a kill left it half made
            continue
        told_of = json.loads(marker.read_text(encoding="utf-8"))
        text = part.read_text(encoding="utf-8")
        if told_of.get("backdrop"):
            site = re.sub(r"_[0-9]+_[0-9]+$", "", str(Path(told_of["backdrop"]).with_suffix("")))
            text = "".join(json.dumps({**json.loads(line), "site": site}) + "\n" for line in lines_of(text))
            row = {"image": part.stem, "file": told_of["backdrop"], "sha256": told_of["backdrop_sha256"]}
            rows.append(json.dumps(row) + "\n")
        lines.append(text)
    write_whole(out / "labels.jsonl", "".join(lines))
    if rows:
        write_whole(out / "backdrops.jsonl", "".join(rows))
    else:
        (out / "backdrops.jsonl").unlink(missing_ok=True)


def draw_backdrops(
    folders: Sequence[Path], gsds_m: Sequence[float], seeds: Sequence[int]
) -> list[tuple[Path | None, float | None, str | None]]:
    """For every seed an image, its metres per pixel and its sha256; without folders nothing.

    A folder with many images does not weigh more than one with few.
    """
    if len(gsds_m) not in {0, len(folders)}:
        raise OptionError(f"expected a --backdrop-gsd for each --backdrop or none, got {len(gsds_m)}")
    if not folders:
        return [(None, None, None)] * len(seeds)
    images = [backdrops_in(folder) for folder in folders]
    sums: dict[Path, str] = {}
    drawn: list[tuple[Path | None, float | None, str | None]] = []
    for seed in seeds:
        chance = np.random.default_rng([seed, 11])
        which = int(chance.integers(len(folders)))
        path = images[which][int(chance.integers(len(images[which])))]
        gsd_m = gsds_m[which] if gsds_m else None
        if path not in sums:  # read once here, so that one that is no use stops the run before it begins
            sums[path] = read_backdrop(path, gsd_m).sha256
        drawn.append((path, gsd_m, sums[path]))
    return drawn


def _check(
    count: int, size: int, gsd: tuple[float, float], kind: str, mode: str | None, bits: int | None
) -> None:
    """Stop at options that are no use."""
    if count < 1 or size < 64 or not 0.2 <= gsd[0] <= gsd[1] <= 2.0:
        message = (
            f"expected --count from 1, --size from 64, --gsd within 0.2 to 2.0 in rising order, got {count}, "
        )
        raise OptionError(f"{message}{size}, {gsd[0]} {gsd[1]}; choose others")
    if kind not in {"training", "mixed", "empty"} or mode not in {None, "pan", "rgb", "rgbn"}:
        raise OptionError(f"expected a known --kind and --mode, got {kind!r} and {mode!r}; see --help")
    if bits not in {None, 8, 11}:
        raise OptionError(f"expected --bits 8 or 11, got {bits}; leave it out for both")


def _check_numbers(seed: int, density: float, jpeg: int | None, bits: int | None, workers: int) -> None:
    """Stop at numbers that are no use."""
    if seed < 0 or not 0 <= density < math.inf or workers < 1:
        raise OptionError(
            f"expected --seed and --density from 0, --workers from 1, got {seed}, {density}, {workers}; "
            "choose others"
        )
    if jpeg is not None and (not 1 <= jpeg <= 100 or bits != 8):
        raise OptionError(f"expected --jpeg 1 to 100 with --bits 8, got {jpeg} and --bits {bits}")


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
    fast: bool = False,
    backdrop: tuple[Path, ...] = (),
    backdrop_gsd: tuple[float, ...] = (),
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
        JPEG quality of the files, 1 to 100, with --bits 8 only; lossless if not given.
    fast
        Draw at the resolution of the scene, not at twice that: a quarter of the time, coarser edges and soil.
    backdrop
        Folder of real images to build on, instead of land of the generator's own; may be given again. What
        they show is not labelled, so none of the four classes may stand there.
    backdrop_gsd
        Metres per pixel of the images of each such folder; those with a georeference go by that.
    workers
        Scenes made at the same time.
    """
    _check(count, size, gsd, kind, mode, bits)
    _check_numbers(seed, density, jpeg, bits, workers)
    (out / "parts").mkdir(parents=True, exist_ok=True)
    cells = FAST if fast else FINE
    seeds = range(seed, seed + count)
    grounds = draw_backdrops(backdrop, backdrop_gsd, seeds)
    jobs = [
        Job(out, one, size, gsd[0], gsd[1], kind, density, mode, bits, jpeg, cells, *ground)
        for one, ground in zip(seeds, grounds, strict=True)
    ]
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
