"""What one scene says of a detector: every object, every detection, and which finds which.

A result holds no pixels and knows nothing of where it came from: one of pithead's own scan and one of another
program's boxes are measured and compared alike. As JSON it is the same result again, number for number.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pithead.errors import DatasetError
from pithead.metrics import LEFT_OUT, NONE, AreaResult, LineResult, Matches

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""From what IoU on a detection finds an object: AP50 is of the first, AP50-95 the mean over all (COCO)."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where, with what and when a scene was taken, and of what land, as far as anything says it."""

    site: str | None = None
    sensor: str | None = None
    season: str | None = None
    gsd_m: float | None = None
    """Metres per pixel of the scene itself."""
    biome: str | None = None
    ground: str | None = None
    off_nadir_deg: float | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """Objects of one scene: outlines (N, 4, 2) in scene px, classes (N,), long sides in metres (N,)."""

    corners_scene: Floats
    classes: Ints
    sizes_m: Floats


@dataclass(frozen=True, slots=True)
class Found(Shown):
    """Detections of one scene, surest first, with what each of them finds."""

    scores: Floats
    """(N,)"""
    truth: Ints
    """(N, 10) The number of the object that it finds at each of `IOUS`; -1 none; -2 it is not counted."""


@dataclass(frozen=True, slots=True)
class Course:
    """A line of the truth or of what was found: how long it is, and how much of it the other side lacks."""

    points_scene: Floats
    """(M, 2) scene px; the first point of a ring is not repeated."""
    closed: bool
    length_m: float
    lacking_m: float
    score: float | None = None
    """Of a line that was found."""


@dataclass(frozen=True, slots=True)
class SceneResult:
    """What one scene adds to the sums."""

    scene: str
    area_km2: float
    """Of the valid pixels."""
    about: Circumstances
    truth: Shown
    ignored: Shown
    """What is neither object nor background."""
    every: Found
    """From the lowest scores, for average precision."""
    sure: Found
    """As a plain scan with the card's thresholds would have it."""
    ladder: Ints
    """(L, C, 2) Right and wrong detections of each class, scanned with each of `LADDER` as threshold."""
    areas: Mapping[str, AreaResult]
    """By the name of each class with an outline, in m²."""
    area_ratios: Mapping[str, tuple[float, ...]]
    """Detected over true area of each matched pair with IoU >= 0.8, by class."""
    lines: LineResult
    true_lines: tuple[Course, ...]
    found_lines: tuple[Course, ...]
    scale_m: tuple[float, float] | None = None
    """How many metres a pixel of the scene is across and down; None in what was kept before anybody asked."""

    @property
    def curve(self) -> Matches:
        """Every detection at an IoU of 0.5."""
        return self.matches()

    @property
    def counted(self) -> Matches:
        """What a plain scan has, at an IoU of 0.5."""
        return _matches(self.sure, self.truth, 0)

    @property
    def pixel_m(self) -> tuple[float, float]:
        """`scale_m`, for those who cannot do without.

        Raises:
            DatasetError: It was kept before anybody noted it.
        """
        if self.scale_m is None:
            raise DatasetError(
                f"expected a result with the size of pixels, got that of {self.scene} without: an older "
                "pithead measured it; measure again with training/evaluate.py"
            )
        return self.scale_m

    @property
    def group(self) -> str:
        """What is drawn together for intervals: the site, or the scene where none is known."""
        return f"site {self.about.site}" if self.about.site else f"scene {self.scene}"

    def matches(self, level: int = 0) -> Matches:
        """Every detection at one of `IOUS`."""
        return _matches(self.every, self.truth, level)


def _matches(found: Found, truth: Shown, level: int) -> Matches:
    number = found.truth[:, level]
    kept = number != LEFT_OUT
    return Matches(found.scores[kept], found.classes[kept], number[kept] != NONE, truth.classes)


def to_record(result: SceneResult) -> dict[str, Any]:
    """A result as plain values for JSON."""
    plain: dict[str, Any] = _plain(asdict(result))
    return plain


def from_record(record: Mapping[str, Any]) -> SceneResult:
    """The result of which `to_record` made a record.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    return SceneResult(
        scene=record["scene"],
        area_km2=record["area_km2"],
        about=Circumstances(**record["about"]),
        truth=_shown(record["truth"]),
        ignored=_shown(record["ignored"]),
        every=_found(record["every"]),
        sure=_found(record["sure"]),
        ladder=np.array(record["ladder"], np.int64),
        areas={name: AreaResult(**area) for name, area in record["areas"].items()},
        area_ratios={name: tuple(ratios) for name, ratios in record["area_ratios"].items()},
        lines=LineResult(**record["lines"]),
        true_lines=_courses(record["true_lines"]),
        found_lines=_courses(record["found_lines"]),
        scale_m=_scale(record.get("scale_m")),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 (whatever a result holds)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _shown(record: Mapping[str, Any]) -> Shown:
    return Shown(
        np.array(record["corners_scene"], np.float64).reshape(-1, 4, 2),
        np.array(record["classes"], np.int64),
        np.array(record["sizes_m"], np.float64),
    )


def _found(record: Mapping[str, Any]) -> Found:
    shown = _shown(record)
    scores, truth = np.array(record["scores"], np.float64), np.array(record["truth"], np.int64)
    return Found(shown.corners_scene, shown.classes, shown.sizes_m, scores, truth.reshape(-1, len(IOUS)))


def _scale(record: list[float] | None) -> tuple[float, float] | None:
    if record is None:
        return None
    across, down = record
    return float(across), float(down)


def _courses(records: list[dict[str, Any]]) -> tuple[Course, ...]:
    return tuple(Course(**{**r, "points_scene": np.array(r["points_scene"], np.float64)}) for r in records)
