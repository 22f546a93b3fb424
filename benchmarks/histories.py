"""How often what is said of generated site histories is true: links, shifts, intervals, changes.

A pretended detector, whose true rates are drawn from what its card leaves open, looks at every picture of
every history (`pithead.pretend`); what `pithead.sites` then says is held against what was drawn. With
--dispersion things of one picture are missed together, and measured too large together, as much as the card
then says. With --pixels a few pictures are rendered, and what is said to hide the ground, and how far
pictures are apart, is held to the truth.
"""

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path

import cyclopts
import numpy as np
import shapely
from scipy.special import betaincinv

from pithead.card import ClassErrors
from pithead.catalog import Site
from pithead.generate.history import PROJECTED, Ground, History, PixelFrame, Shot, lay_ground, render_shot
from pithead.generate.parts import sides_m
from pithead.imagery import Stretch, open_scene, write_cog
from pithead.pretend import THING, TYPICAL, observe, plausible
from pithead.program import run
from pithead.sites import Chronicle, Frame, View
from pithead.sites.chronicle import tell
from pithead.sites.pixels import Picture, picture_of
from pithead.sites.quantities import heap_volume_m3
from pithead.sites.reading import sightings_of
from pithead.sites.register import edges_of, offset_of
from pithead.sites.shift import shifted
from pithead.sites.together import together_of
from pithead.sites.visibility import blocks_of, cells_of, hidden_in

app = cyclopts.App(name="histories", help_format="markdown")
CLASSES = frozenset(one.name for one in TYPICAL)
COLOURS = {1: ("gray",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "nir")}
FINEST_M = 0.45
"""Pictures finer than this take half a minute each to render, and are left out."""


COUNTED = (
    "true_links", "linked", "made", "wrong", "seconds", "same", "false", "changed", "told", "wrongly",
    "gone", "gone_false", "parted", "parted_false",
)  # fmt: skip


@dataclass(slots=True)
class Score:
    """What was counted in one history or several."""

    true_links: int = 0
    linked: int = 0
    made: int = 0
    wrong: int = 0
    seconds: float = 0.0
    shifts_m: list[float] = field(default_factory=list)
    shifts_sd: list[float] = field(default_factory=list)
    measures: dict[str, list[tuple[float, float, float, float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Of each quantity: truth, low, value, high, raw."""
    silent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How often a quantity was not observable."""
    same: int = 0
    """Pairs of dates, one after the other, with the same quantity; of these `false` were told to differ."""
    false: int = 0
    changed: int = 0
    told: int = 0
    """Of those on which it was not the same, how many were told so, and that wrongly."""
    wrongly: int = 0
    gone: int = 0
    """Tracks of things that were surely told to have vanished; `gone_false` of them were still there."""
    gone_false: int = 0
    parted: int = 0
    """Splits and mergers that were told to be sure; `parted_false` of them never happened."""
    parted_false: int = 0

    def add(self, other: "Score") -> None:
        """Count another one in."""
        for name in COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.shifts_m += other.shifts_m
        self.shifts_sd += other.shifts_sd
        for name, some in other.measures.items():
            self.measures[name] += some
        for name, count in other.silent.items():
            self.silent[name] += count


def card_of(dispersion: float) -> tuple[ClassErrors, ...]:
    """The errors on the card, with things of one picture that have so much in common."""
    if dispersion <= 1:
        return TYPICAL
    return tuple(
        replace(
            one,
            recall_dispersion=dispersion,
            alarm_dispersion=dispersion,
            box=None if one.box is None else replace(one.box, area_scene_sd=0.4 * one.box.area_sd),
        )
        for one in TYPICAL
    )


def in_scene(errors: ClassErrors, rng: np.random.Generator) -> ClassErrors:
    """What a detector with these errors is in one picture, drawn by what things of a picture share."""
    both, place = together_of(errors), rng.random()
    recall, box = errors.recall, errors.box
    if both.alike:
        size = 1 / both.correlation - 1
        recall = tuple(
            replace(kind, found=round(kind.truths * float(betaincinv(p * size, (1 - p) * size, place))))
            for kind in recall
            for p in [float(np.clip(kind.found / kind.truths, 0.005, 0.995))]
        )
    many = float(rng.gamma(both.shape) / both.shape) if np.isfinite(both.shape) else 1.0
    if box is not None and box.area_scene_sd:
        shift, own = float(rng.normal(0, box.area_scene_sd / 2)), box.area_scene_sd**2
        box = replace(
            box,
            length_bias=box.length_bias + shift,
            width_bias=box.width_bias + shift,
            length_sd=float(np.sqrt(max(box.length_sd**2 - own / 4, 1e-6))),
            width_sd=float(np.sqrt(max(box.width_sd**2 - own / 4, 1e-6))),
            area_sd=float(np.sqrt(max(box.area_sd**2 - own, 1e-6))),
        )
    return replace(errors, recall=recall, false_alarms_km2=errors.false_alarms_km2 * many, box=box)


def views_of(history: History, seed: int, dispersion: float = 1.0) -> tuple[tuple[View, ...], dict[str, str]]:
    """What a pretended detector finds in every picture, and of which thing each detection is."""
    frame = Frame(*history.origin)
    errors = plausible(card_of(dispersion), np.random.default_rng([seed, 77]))
    views, owners = [], {}
    for shot in history.shots:
        rng = np.random.default_rng([seed, shot.number, 78])
        rows = observe(history, shot, [in_scene(one, rng) for one in errors])
        owners.update(dict(zip(rows["detection"], rows[THING], strict=True)))
        found, _ = sightings_of(rows, frame, {}, CLASSES)
        snow = ((shot.footprint, "snow"),) if shot.snow else ()
        views.append(
            View(
                scene=f"{history.name} {shot.number}",
                scene_sha256="0" * 64,
                acquired=shot.date,
                sensor=shot.sensor.name,
                gsd_m=shot.sensor.gsd_m,
                off_nadir_deg=shot.off_nadir_deg,
                weights_sha256="0" * 64,
                looked=shot.footprint.intersection(history.outline),
                hidden=(*shot.hidden, *snow),  # type: ignore[arg-type]  # these words are reasons
                sightings=found,
                pixels=True,
            )
        )
    return shifted(views), owners


def scored(seed: int, dispersion: float = 1.0) -> Score:
    """One history, told and held against the truth."""
    history = History.draw(seed)
    began = time.perf_counter()
    views, owners = views_of(history, seed, dispersion)
    errors = {one.name: one for one in card_of(dispersion)}
    told = tell(Site(history.name), Frame(*history.origin), views, history.outline, errors)
    score = Score(seconds=time.perf_counter() - began)
    _score_links(score, history, told, owners)
    _score_shifts(score, history, told)
    for name, measures in told.quantities.items():
        for one in measures:
            if one.value is None or one.low is None or one.high is None:
                score.silent[name] += 1
                continue
            truth = truth_of(history, history.shots[one.view], name)
            score.measures[name].append((truth, one.low, one.value, one.high, one.raw))
    _score_changes(score, history, told)
    _score_tracks(score, history, told, owners)
    return score


def truth_of(history: History, shot: Shot, name: str) -> float:
    """A quantity as it was drawn; of the volume proxy, that of the true rectangles."""
    truth = history.truth(shot)
    if name == "heap_volume_m3":
        boxes = np.array([sides_m(label.box) for label in truth.of("coal_heap")]).reshape(-1, 2)
        return float(heap_volume_m3(boxes[:, 0], boxes[:, 1]).sum())
    return truth.quantities[name]


def _score_links(score: Score, history: History, told: Chronicle, owners: dict[str, str]) -> None:
    """True links join two sightings of one thing that follow each other, or of a heap and what it split into.

    A link that was made is wrong if its ends are of two things that are no kin, or one is of nothing; of two
    false alarms nobody can say.
    """
    track = {name: t.id for t in told.tracks for names in t.sightings for name in names}
    order = {one.detection: i for i, view in enumerate(told.views) for one in view.sightings}
    kin = {thing.id: {thing.id, *thing.parents} for thing in history.things}
    real = {thing.id for thing in history.things if thing.real}
    seen: dict[str, list[str]] = defaultdict(list)
    for name in sorted(track, key=lambda one: order[one]):
        if owners[name] in real:
            seen[owners[name]].append(name)
    for names in seen.values():
        for a, b in pairwise(names):
            score.true_links += order[a] != order[b]
            score.linked += order[a] != order[b] and track[a] == track[b]
    for one in told.tracks:
        for strand in one.strands:
            for a, b in pairwise([name for name in strand if name is not None]):
                first, second = owners[a], owners[b]
                score.made += 1
                if first in real or second in real:
                    score.wrong += not kin.get(first, set()) & kin.get(second, set())


def _score_changes(score: Score, history: History, told: Chronicle) -> None:
    said = {(one.what, one.before, one.after): one.by for one in told.changes}
    for name, measures in told.quantities.items():
        known = [one.view for one in measures if one.observable]
        for before, after in pairwise(known):
            was, now = (truth_of(history, history.shots[i], name) for i in (before, after))
            by = said.get((name, before, after))
            if now == was:
                score.same += 1
                score.false += by is not None
            else:
                score.changed += 1
                score.told += by is not None
                score.wrongly += by is not None and by * (now - was) < 0


def _score_tracks(score: Score, history: History, told: Chronicle, owners: dict[str, str]) -> None:
    """Whether what was surely told to have vanished, split or merged did."""
    things = {thing.id: thing for thing in history.things}
    tracks = {one.id: one for one in told.tracks}
    for change in told.changes:
        if not change.sure or change.what not in tracks:
            continue
        track = tracks[change.what]
        if change.kind == "vanished":
            last = {owners[name] for name in track.sightings[track.last_seen]}
            there = {label.thing for label in history.truth(history.shots[change.after]).labels}
            score.gone += 1
            score.gone_false += bool(last & there)
        if change.kind in {"split", "merged"}:
            seen = (track.sightings[change.before], track.sightings[change.after])
            before, after = ({owners[name] for name in names} for names in seen)
            kin = any(before & set(things[one].parents) for one in after if one in things)
            score.parted += 1
            score.parted_false += not kin


def _score_shifts(score: Score, history: History, told: Chronicle) -> None:
    known = [i for i, view in enumerate(told.views) if view.shift.how != "none"]
    if len(known) < 2:
        return
    shifts = [told.views[i].shift for i in known]
    off = np.array([[s.dx_m, s.dy_m] for s in shifts]) - [history.shots[i].shift_m for i in known]
    off -= off.mean(axis=0)
    score.shifts_m += off.ravel().tolist()
    score.shifts_sd += np.repeat([s.sd_m for s in shifts], 2).tolist()


def report(score: Score, count: int) -> Iterator[str]:
    """The figures, line by line."""
    off, sd = np.array(score.shifts_m), np.array(score.shifts_sd)
    yield f"{count} histories, {score.seconds / count:.2f} s each"
    yield f"true links made: {score.linked / score.true_links:.4f} of {score.true_links}"
    yield f"wrong links: {score.wrong / max(score.made, 1):.4f} of {score.made}"
    rms, relative = np.sqrt((off**2).mean()), np.sqrt(((off / sd) ** 2).mean())
    yield f"shifts off by {rms:.2f} m (rms), {relative:.2f} of their errors"
    yield "quantity          dates  silent  coverage  truth under  over  median error  width  raw error"
    inside, inside_more = [], []
    for name, some in score.measures.items():
        truth, low, value, high, raw = np.array(some).T
        held = (low <= truth + 1e-9) & (truth <= high + 1e-9)
        told = (truth > 0) | (high > 0)
        inside += held.tolist()
        inside_more += held[told].tolist()
        scale = np.maximum(truth, 1e-9)
        yield (
            f"{name:16s} {told.sum():6d}  {score.silent[name]:6d}  {held[told].mean():8.3f}  "
            f"{(truth < low - 1e-9)[told].mean():11.3f}  {(truth > high + 1e-9)[told].mean():4.3f}  "
            f"{np.median(((value - truth) / scale)[truth > 0]):+12.3f}  "
            f"{np.median(((high - low) / scale)[truth > 0]):5.2f}  "
            f"{np.median(((raw - truth) / scale)[truth > 0]):+9.3f}"
        )
    yield f"coverage of 95 % intervals: {np.mean(inside_more):.3f}"
    yield f"with dates on which nothing is and nothing is said: {np.mean(inside):.3f}"
    false = score.false / max(score.same, 1)
    yield f"of {score.same} pairs of dates on which nothing changed, told to have: {false:.4f}"
    yield f"of {score.changed} others, told: {score.told}, of which the wrong way: {score.wrongly}"
    yield f"things surely told to have vanished: {score.gone}, of which still there: {score.gone_false}"
    yield f"splits and mergers told as sure: {score.parted}, of which there were none: {score.parted_false}"


@app.default
def histories(
    *, count: int = 200, seed: int = 0, workers: int = 1, pixels: int = 0, dispersion: float = 1.0
) -> None:
    """Tell COUNT generated histories and print how often that is true.

    Parameters
    ----------
    count
        How many histories.
    seed
        Seed of the first.
    workers
        Processes.
    pixels
        Look at the rendered pictures of so many histories instead: clouds, haze, snow, registration.
    dispersion
        By what factor the number of things found in a picture varies more than chance would make it.
    """
    if pixels:
        snow: Counter[tuple[bool, bool]] = Counter()
        for one in range(seed, seed + pixels):
            for line in looked(one, snow):
                print(line, flush=True)
        print(
            f"snow, in pictures without haze: {snow[True, True]} of {snow[True, True] + snow[True, False]} "
            f"found, false in {snow[False, True]} of {snow[False, True] + snow[False, False]} others"
        )
        return
    whole = Score()
    with ProcessPoolExecutor(workers) as pool:
        for score in pool.map(partial(scored, dispersion=dispersion), range(seed, seed + count)):
            whole.add(score)
    for line in report(whole, count):
        print(line)


def looked(seed: int, snow: Counter[tuple[bool, bool]]) -> Iterator[str]:
    """What the pixels of a history's pictures say of cloud, haze, snow and shifts, against the truth."""
    history = History.draw(seed)
    ground, frame = lay_ground(history), Frame(*history.origin)
    edges = {}
    for shot in history.shots:
        if shot.sensor.gsd_m < FINEST_M:
            continue
        picture, stretch = picture_of_shot(history, shot, ground, frame)
        edges[shot.number] = edges_of(picture, cells_of(blocks_of(picture).cloud, picture))
        hidden = {reason: shape for shape, reason in hidden_in(picture, stretch)}
        found = hidden.get("cloud", shapely.Polygon())
        true = shapely.union_all(shot.clouds).intersection(shapely.box(*picture.bounds))
        said = found.difference(shapely.buffer(true, 40)).area / shapely.box(*picture.bounds).area
        hit = f"{found.intersection(true).area / true.area:.2f} of it found" if true.area else "none there"
        snow[shot.snow, "snow" in hidden] += "haze" not in hidden
        yield (
            f"{history.name} {shot.number:2d} {shot.sensor.name:20} snow {shot.snow!s:5} said "
            f"{'snow' in hidden!s:5} haze {shot.haze:.2f} said {'haze' in hidden!s:5} "
            f"cloud {true.area / 1e6:.2f} km², {hit}, false on {said:.3f}"
        )
    off = []
    for i, j in combinations(edges, 2):
        offset = offset_of(edges[i], edges[j])
        if offset is not None:
            off.append(offset.metres - np.subtract(history.shots[j].shift_m, history.shots[i].shift_m))
    pairs = len(edges) * (len(edges) - 1) // 2
    error = np.hypot(*np.array(off).reshape(-1, 2).T)
    worst = np.percentile(error, [50, 95, 100]).round(2).tolist() if len(error) else []
    yield f"{history.name}: {len(off)} of {pairs} pairs matched; off by m (median, 95 %, most): {worst}"


def picture_of_shot(
    history: History, shot: Shot, ground: Ground, frame: Frame
) -> tuple[Picture, Stretch | None]:
    """A rendered picture as the programs read it."""
    data = render_shot(history, shot, ground).data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        colours, transform = COLOURS[len(data)], PixelFrame(history, shot).transform
        write_cog(path, data, transform, PROJECTED, colorinterp=colours, effort=1, nodata=0)
        with open_scene(path) as scene:
            return picture_of(scene, frame, history.outline.bounds), scene.stretch


if __name__ == "__main__":
    run(app)
