"""One labelled scene measured: through the real scan path, or with what another program found.

Average precision is taken over all scores from `FLOOR`; counts, areas and lines are what a plain scan with
the card's thresholds has.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pithead.acquisition import season_of
from pithead.card import Card
from pithead.detections import Coverage, Detections, SceneLine
from pithead.detector import Detector
from pithead.errors import LabelError
from pithead.evaluation.result import IOUS, Circumstances, Course, Found, SceneResult, Shown
from pithead.geometry import boxes_to_corners, corners_to_boxes, rotated_iou
from pithead.imagery import Scene, open_scene
from pithead.labels import GridLabels, Label, SceneFacts, in_grid
from pithead.metrics import (
    NONE,
    AreaResult,
    LineResult,
    Objects,
    area_f1,
    line_parts,
    line_quality,
    truth_found,
)
from pithead.scan import TileDetections, Way, assemble, detect_tiles, lines_of
from pithead.seams import Merged
from pithead.tiling import Grid, read_tile

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FLOOR = 0.02
"""Rows under this score are not looked at, not even for average precision."""

STRIP_FLOOR = 0.1
"""The same for pieces of strips, which are joined: at 0.02 the noise would glue strips together."""

LADDER = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Thresholds that are tried out to find the best, and the one that raises few enough false alarms."""

ROUNDING = 1e-6
"""Scores are float32: a row at a threshold is not under it."""

SAME_OBJECT = 0.8
"""From this IoU on the area of a detection is compared with the true one."""

NEAR_M = 10.0
"""A line is found where another lies within so many metres."""


class Sensitive:
    """A detector that keeps every row from a low score of the network on, whatever its card's thresholds."""

    def __init__(self, detector: Detector, floor: float) -> None:
        """Take an open detector."""
        self.card, self._detector, self._floor = detector.card, detector, floor

    def detect(self, tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Rows (k, 7) of each tile, best score first."""
        found = [rows[rows[:, 5] >= self._floor] for rows in self._detector.raw(tiles)]
        for rows in found:
            rows[:, 5] = self.card.probabilities(rows[:, 5], rows[:, 6])
        return [rows[np.argsort(-rows[:, 5], kind="stable")] for rows in found]


@dataclass(frozen=True, slots=True)
class Given:
    """What any program found: outlines (N, 4, 2) in scene px, scores (N,), classes (N,) of the card.

    A fence is told as boxes along it, as pithead's own networks tell it; `lines` are what it was drawn as,
    or None: then the boxes are linked into lines as pithead links its own.
    """

    corners_scene: Floats
    scores: Floats
    classes: Ints
    lines: tuple[SceneLine, ...] | None = None

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            LabelError: they do not belong together, or a number is not finite.
        """
        corners, scores = np.array(self.corners_scene, np.float64), np.array(self.scores, np.float64)
        classes = np.array(self.classes, np.int64)
        count = len(scores)
        if scores.shape != (count,) or classes.shape != (count,) or corners.size != 8 * count:
            raise LabelError(
                f"expected corners (N, 4, 2), scores (N,) and classes (N,), got {corners.shape}, "
                f"{scores.shape} and {classes.shape}: give four corners, a score and a class for each object"
            )
        if not (np.isfinite(corners).all() and np.isfinite(scores).all()):
            raise LabelError("expected finite corners and scores, got some that are not: leave those out")
        order = np.argsort(-scores, kind="stable")
        for key, value in (
            ("corners_scene", corners.reshape(-1, 4, 2)[order]),
            ("scores", scores[order]),
            ("classes", classes[order]),
        ):
            object.__setattr__(self, key, value)


@dataclass(frozen=True, slots=True)
class _Case:
    """A scene and its truth, for as long as it is measured."""

    name: str
    about: Circumstances
    labels: Sequence[Label]
    truth: GridLabels
    grid: Grid
    card: Card

    @classmethod
    def of(cls, scene: Scene, labels: Sequence[Label], card: Card, grid: Grid, facts: SceneFacts) -> "_Case":
        width_px = card.span_width_m / card.gsd_m
        truth = in_grid(labels, grid.to_grid, cell_px=card.cell_px, span_width_px=width_px, strip_pad_px=None)
        return cls(Path(scene.path).stem, _about(scene, facts), labels, truth, grid, card)


def evaluate_scene(
    path: Path,
    labels: Sequence[Label],
    detector: Detector,
    *,
    gsd_m: float | None,
    overlap_px: int = 128,
    facts: SceneFacts | None = None,
) -> SceneResult:
    """Scan one labelled scene and compare.

    Raises:
        SceneError: the scene cannot be read.
    """
    card = detector.card
    with open_scene(path, gsd_m=gsd_m) as scene:
        seen = detect_tiles(scene, Sensitive(detector, FLOOR), Way(overlap_px))
        case = _Case.of(scene, labels, card, seen.grid, facts or SceneFacts())
    floors = [STRIP_FLOOR if known.geometry == "strip" else FLOOR for known in card.classes]
    lowest = card.probabilities(floors, np.arange(len(floors)))
    every, sure = (_assembled(seen, least, card) for least in (lowest, card.thresholds))
    ladder = _ladder(case, _rungs(seen, card))
    return _result(case, seen.valid_px, every, sure, ladder)


def result_of(
    path: Path,
    labels: Sequence[Label],
    given: Given,
    card: Card,
    *,
    gsd_m: float | None,
    facts: SceneFacts | None = None,
) -> SceneResult:
    """Compare what another program found in a labelled scene, by the same rules as a scan of pithead's own.

    Args:
        path: The scene.
        labels: Its truth in scene px.
        given: What was found, from scores as low as the program gives them.
        card: Its classes and their thresholds are those that count, its ground resolution that of the grid in
            which boxes are compared; nothing else of it matters.
        gsd_m: Metres per pixel of a scene without georeference.
        facts: What is known of it.

    Raises:
        LabelError: A class that the card does not know.
        SceneError: The scene cannot be read.
    """
    if len(given.classes) and not 0 <= int(given.classes.min()) <= int(given.classes.max()) < len(
        card.classes
    ):
        raise LabelError(
            f"expected classes from 0 to {len(card.classes) - 1}, got {int(given.classes.min())} to "
            f"{int(given.classes.max())}: number them as the card does"
        )
    with open_scene(path, gsd_m=gsd_m) as scene:
        grid = Grid.of(scene, card.gsd_m, card.tile_px, 0)
        looked = ((read_tile(scene, grid, window), grid.own(window)) for window in grid.windows())
        valid_px = sum(int(pixels.valid[own].sum()) for pixels, own in looked)
        case = _Case.of(scene, labels, card, grid, facts or SceneFacts())
    every, sure = (_plain(given, least, case) for least in (np.zeros(len(card.classes)), card.thresholds))
    ladder = _ladder(case, (_plain(given, np.full(len(card.classes), rung), case) for rung in LADDER))
    return _result(case, valid_px, every, sure, ladder)


def _about(scene: Scene, facts: SceneFacts) -> Circumstances:
    """What is told of a scene, else what its file says; a season of no known place is that of the north."""
    date = facts.date or (scene.acquired.date().isoformat() if scene.acquired else None)
    centre = np.array([scene.width / 2, scene.height / 2])
    latitude = None if scene.crs is None else float(scene.to_lonlat(centre)[1])
    season = season_of(date, latitude) if date else None
    sensor = facts.sensor or f"{len(set(scene.bands))} × {scene.dtype}"
    angle = None if facts.off_nadir_deg is None else float(facts.off_nadir_deg)
    gsd_m = float(np.mean(scene.gsd_m))
    return Circumstances(facts.site, sensor, season, gsd_m, facts.biome, facts.ground, angle)


def _assembled(seen: TileDetections, least: npt.ArrayLike, card: Card) -> Detections:
    return assemble(seen.above(np.asarray(least, np.float64) - ROUNDING), card)


def _rungs(seen: TileDetections, card: Card) -> Iterator[Detections]:
    """What a scan with each of `LADDER` finds; the same again where no row lies between two of them."""
    before: tuple[int, Detections] | None = None
    for rung in LADDER:
        kept = seen.above(rung - ROUNDING)
        count = sum(len(rows) for rows in kept.rows)
        if before is None or before[0] != count:
            before = count, assemble(kept, card)
        yield before[1]


def _plain(given: Given, least: npt.ArrayLike, case: _Case) -> Detections:
    """What was given from thresholds on, as a scan would tell it."""
    kept = given.scores >= np.asarray(least, np.float64)[given.classes] - ROUNDING
    corners, scores, classes = given.corners_scene[kept], given.scores[kept], given.classes[kept]
    seen_by: tuple[tuple[int, ...], ...] = ((),) * len(scores)
    if given.lines is None:
        boxes = corners_to_boxes(case.grid.to_grid(corners))
        merged = Merged(boxes, scores.astype(np.float32), classes, seen_by)
        lines = lines_of(merged, case.grid, case.card, [])
    else:
        limit = case.card.thresholds
        lines = tuple(line for line in given.lines if line.score >= limit[line.class_id] - ROUNDING)
    return Detections(
        corners, scores.astype(np.float32), classes, seen_by, lines, case.grid, Coverage(0), valid_px=0
    )


def _ladder(case: _Case, rungs: Iterator[Detections]) -> Ints:
    """Right and wrong detections of each class at each rung, (L, C, 2)."""
    counts = np.zeros((len(LADDER), len(case.card.classes), 2), np.int64)
    before: Detections | None = None
    for i, found in enumerate(rungs):
        if found is before:
            counts[i] = counts[i - 1]
            continue
        before, number = found, _numbers(case, found, IOUS[:1])[:, 0]
        np.add.at(counts[i, :, 0], found.classes[number >= 0], 1)
        np.add.at(counts[i, :, 1], found.classes[number == NONE], 1)
    return counts


def _numbers(case: _Case, found: Detections, ious: Sequence[float]) -> Ints:
    truth = case.truth
    target, ignored = (
        Objects(truth.boxes[some], truth.classes[some]) for some in (~truth.ignore, truth.ignore)
    )
    boxes = Objects(_boxes(found), found.classes)
    return truth_found(boxes, found.scores, target, ignored, ious)


def _boxes(found: Detections) -> Floats:
    return corners_to_boxes(found.grid.to_grid(found.corners_scene))


def _result(case: _Case, valid_px: int, every: Detections, sure: Detections, ladder: Ints) -> SceneResult:
    card, truth = case.card, case.truth
    outlined = [(i, known.name) for i, known in enumerate(card.classes) if known.geometry != "line"]
    boxes = _boxes(sure)
    true_lines, found_lines, lines = _lines(case, sure)
    return SceneResult(
        scene=case.name,
        area_km2=valid_px * card.gsd_m**2 / 1e6,
        about=case.about,
        truth=_shown(case, truth.boxes[~truth.ignore], truth.classes[~truth.ignore]),
        ignored=_shown(case, truth.boxes[truth.ignore], truth.classes[truth.ignore]),
        every=_found(case, every),
        sure=_found(case, sure),
        ladder=ladder,
        areas={name: _areas(boxes[sure.classes == i], truth, i, card.gsd_m) for i, name in outlined},
        area_ratios={name: _ratios(boxes[sure.classes == i], truth, i) for i, name in outlined},
        lines=lines,
        true_lines=true_lines,
        found_lines=found_lines,
        scale_m=(case.grid.scale_x * card.gsd_m, case.grid.scale_y * card.gsd_m),
    )


def _shown(case: _Case, boxes: Floats, classes: Ints) -> Shown:
    corners = np.round(case.grid.to_scene(boxes_to_corners(boxes)), 3)
    return Shown(corners, classes, np.round(boxes[:, 2] * case.card.gsd_m, 3))


def _found(case: _Case, found: Detections) -> Found:
    shown = _shown(case, _boxes(found), found.classes)
    number = _numbers(case, found, IOUS)
    scores = found.scores.astype(np.float64)
    return Found(shown.corners_scene, shown.classes, shown.sizes_m, scores, number)


def _areas(found: Floats, truth: GridLabels, class_id: int, gsd_m: float) -> AreaResult:
    """Compare the areas of one class in m²."""
    target = (truth.classes == class_id) & ~truth.ignore
    ignored = (truth.classes == class_id) & truth.ignore
    outlines = (found, truth.boxes[target], truth.boxes[ignored])
    predicted, true, regions = (list(boxes_to_corners(boxes) * gsd_m) for boxes in outlines)
    return area_f1(predicted, true, regions)


def _ratios(found: Floats, truth: GridLabels, class_id: int) -> tuple[float, ...]:
    """Detected over true area of each pair of one class with IoU >= 0.8."""
    theirs = truth.boxes[(truth.classes == class_id) & ~truth.ignore]
    i, j = np.nonzero(rotated_iou(found, theirs) >= SAME_OBJECT)
    areas, true = found[i, 2] * found[i, 3], theirs[j, 2] * theirs[j, 3]
    return tuple(float(ratio) for ratio in areas / true)


def _lines(case: _Case, found: Detections) -> tuple[tuple[Course, ...], tuple[Course, ...], LineResult]:
    """Compare the lines in metres of the grid: each true one, each that was found, and all together."""
    known = [label for label in case.labels if label.geometry == "line"]
    target, doubtful = (
        [(label.points, label.closed) for label in known if label.weight == weight]
        for weight in ("target", "ignore")
    )
    drawn = [(line.points_scene, line.closed) for line in found.lines]
    metres: Callable[[tuple[Floats, bool]], Floats] = lambda line: _metres(case, *line)  # noqa: E731
    theirs, mine, ignored = ([metres(line) for line in some] for some in (target, drawn, doubtful))
    missed = line_parts(theirs, mine, NEAR_M)
    wrong = line_parts(mine, theirs, NEAR_M, ignored)
    true_lines = tuple(Course(p, c, *m) for (p, c), m in zip(target, missed, strict=True))
    scores = [float(line.score) for line in found.lines]
    found_lines = tuple(Course(p, c, *w, s) for (p, c), w, s in zip(drawn, wrong, scores, strict=True))
    return true_lines, found_lines, line_quality(mine, theirs, NEAR_M, ignored)


def _metres(case: _Case, points_scene: Floats, closed: bool) -> Floats:  # noqa: FBT001 (as a line has it)
    points = case.grid.to_grid(points_scene) * case.card.gsd_m
    return np.vstack([points, points[:1]]) if closed else points
