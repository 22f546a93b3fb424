"""Draw what labeling/guide.md shows: classes and confusers at 0.3, 0.6 and 1.2 m, of generated scenes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cyclopts import App
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.progress import track

from pithead.errors import OptionError
from pithead.generate.canvas import Truth
from pithead.generate.scene import FAST, GeneratedScene, generate_scene
from pithead.program import run

ROOT = Path(__file__).resolve().parents[1]
GSDS_M = (0.3, 0.6, 1.2)
SIDE_PX, MARGIN_PX, TITLE_PX = 200, 6, 20
LEAST_M, MOST_M = 45.0, 190.0
SCENE_PX = 2048
app = App(help_format="plaintext", version_flags=())
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a picture: what stands on it, and whether something is that."""

    title: str
    class_name: str
    attribute: str = ""
    value: str = ""

    def shows(self, truth: Truth) -> bool:
        """Whether a labelled object belongs here."""
        told = truth.attributes.get(self.attribute, "") if self.attribute else ""
        return truth.class_name == self.class_name and told == self.value


@dataclass(frozen=True, slots=True)
class Chip:
    """A piece of a scene of 0.3 m round an object."""

    row: str
    pixels: Pixels


@app.default
def pictures(out: Path = ROOT / "docs" / "guide", *, seed: int = 700_000, most_scenes: int = 80) -> None:
    """Write OUT/CLASS.jpg for every class, and OUT/confusers.jpg: one object at three resolutions a line.

    Args:
        out: Folder to write.
        seed: Seed of the first scene.
        most_scenes: Scenes to look through at most.
    """
    sheets = wanted()
    left = {row.title: 2 for rows in sheets.values() for row in rows}
    chips: list[Chip] = []
    for number in track(range(most_scenes), "scenes", console=Console(stderr=True)):
        scene = generate_scene(
            seed + number, gsd_m=0.3, mode="rgb", kind="training", width_px=SCENE_PX, height_px=SCENE_PX,
            supersampling=FAST, bits=8,
        )  # fmt: skip
        for row, pixels in found(scene, [row for rows in sheets.values() for row in rows]):
            if left[row.title]:
                left[row.title] -= 1
                chips.append(Chip(row.title, pixels))
        if not any(left.values()):
            break
    missing = [title for title, count in left.items() if count == 2]
    if missing:
        raise OptionError(
            f"expected objects of every kind in {most_scenes} scenes, none of {missing[0]}: try more"
        )
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in sheets.items():
        sheet([chip for row in rows for chip in chips if chip.row == row.title]).save(
            out / f"{name}.jpg", quality=82
        )
        print(out / f"{name}.jpg")


def wanted() -> dict[str, list[Row]]:
    """The pictures and their lines."""
    kinds = {
        "mine_head": ("headframe", "adit", "prep_plant", "crusher"),
        "guard_perimeter": ("prison_like", "military_like", "industrial"),
        "rail_loading": ("wagons", "rack"),
    }
    sheets = {
        name: [Row(f"{name}: {kind}", name, "kind", kind) for kind in of_class]
        for name, of_class in kinds.items()
    }
    sheets["coal_heap"] = [Row("coal_heap: coal", "coal_heap", "material", "coal")]
    confusers = (
        "pond",
        "dark_roof",
        "dark_ground",
        "tarpaulin",
        "containers",
        "property_wall",
        "chimney",
        "pylon",
    )
    sheets["confusers"] = [
        *(Row(f"none: {kind}", "hard_negative", "kind", kind) for kind in confusers),
        *(Row(f"heap of {name}", "hard_negative", "material", name) for name in ("gravel", "ore")),
    ]
    return sheets


def found(scene: GeneratedScene, rows: list[Row]) -> Iterator[tuple[Row, Pixels]]:
    """The objects of a scene that belong on a line and lie wholly inside, with their surroundings."""
    data = np.ascontiguousarray(scene.data.transpose(1, 2, 0)).astype(np.uint8)
    for truth in scene.truths:
        row = next((row for row in rows if row.shows(truth)), None)
        points = np.asarray(truth.points_m, float)  # scene pixels here
        extent = np.ptp(points, axis=0).max()
        side = int(np.clip(1.6 * extent * scene.gsd_m, LEAST_M, MOST_M) / scene.gsd_m) // 4 * 4
        left, top = (points.min(axis=0) + points.max(axis=0) - side).astype(int) // 2
        if row is None or extent > side or min(left, top) < 0 or max(left, top) + side > SCENE_PX:
            continue
        yield row, data[top : top + side, left : left + side]


def sheet(chips: list[Chip]) -> Image.Image:
    """The chips as lines of three resolutions each, two lines beside each other."""
    step = SIDE_PX + MARGIN_PX
    lines = -(-len(chips) // 2)
    width, height = 2 * (3 * step + MARGIN_PX), lines * (step + TITLE_PX) + MARGIN_PX
    picture = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    for number, chip in enumerate(chips):
        x, y = number % 2 * (3 * step + MARGIN_PX) + MARGIN_PX, number // 2 * (step + TITLE_PX) + MARGIN_PX
        metres = round(chip.pixels.shape[0] * GSDS_M[0])
        draw.text((x, y), f"{chip.row.replace('_', ' ')}, {metres} m wide", "black", font)
        for column, gsd_m in enumerate(GSDS_M):
            view = coarser(chip.pixels, round(gsd_m / GSDS_M[0]))
            picture.paste(view, (x + column * step, y + TITLE_PX))
            draw.text(
                (x + column * step + 4, y + TITLE_PX + 2),
                f"{gsd_m} m",
                "white",
                font,
                stroke_width=2,
                stroke_fill="black",
            )
    return picture


def coarser(pixels: Pixels, factor: int) -> Image.Image:
    """A chip as a sensor of so many times the pixel would see it, its pixels left visible."""
    side = pixels.shape[0] // factor
    small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX)
    return small.resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)


if __name__ == "__main__":
    run(app)
