"""How far a run is: what is done, how fast, how much of it was the bare model, and when it will end."""

import time
from dataclasses import dataclass, field

from pithead.rescore.plan import Plan
from pithead.rescore.task import Outcome, Task

HELP = {
    "scenes": "Scenes of this run.",
    "scenes_done": "Scenes with a finished record.",
    "scenes_failed": "Scenes set aside after three tries, or changed on disk.",
    "tiles": "Tiles of all scenes.",
    "tiles_done": "Tiles gone through, run or skipped as empty.",
    "km2_done": "Valid ground scored, in square kilometres.",
    "pixels_done": "Valid pixels of scenes looked at.",
    "model_seconds": "Time that the model ran, of all workers.",
    "busy_seconds": "Time that workers were at work.",
    "seconds": "Since the run began.",
    "km2_per_second": "Valid ground scored in a second.",
    "mpx_per_second": "Valid megapixels of scenes looked at in a second.",
    "model_share": "Part of the workers' time that was the bare model.",
    "workers": "Workers there are.",
    "eta_seconds": "Until the end, as it goes now.",
}


@dataclass(slots=True)
class Tally:
    """The running account of one run; `told` is what others may read."""

    plan: Plan
    workers: int = 0
    done: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    """The error by the id of each scene that was set aside."""
    tiles_done: int = 0
    km2: float = 0.0
    pixels: int = 0
    model_s: float = 0.0
    busy_s: float = 0.0
    active: dict[str, int] = field(default_factory=dict)
    """Tasks under way by scene."""
    state: str = "running"
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None

    def begin(self, task: Task) -> None:
        """Count a task that was given."""
        self.active[task.entry.id] = self.active.get(task.entry.id, 0) + 1

    def end(self, task: Task, outcome: Outcome) -> None:
        """Count a task that has ended."""
        left = self.active.pop(task.entry.id) - 1
        if left:
            self.active[task.entry.id] = left
        self.pixels += outcome.pixels
        self.model_s += outcome.model_s
        self.busy_s += outcome.busy_s
        if outcome.end == "part":
            self.tiles_done += outcome.tiles
        if outcome.record is not None:
            self.done += 1
            self.km2 += outcome.record.valid_km2

    def settle(self, task: Task, parts_tiles: int) -> None:
        """Count the tiles of a finished scene that were not counted as parts: empty ones, or all."""
        self.tiles_done += max(0, self.plan.tiles_of.get(task.entry.id, 0) - parts_tiles)

    @property
    def seconds(self) -> float:
        """Since the run began, to its end if it has ended."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def told(self) -> dict[str, float]:
        """Every figure by its name in `HELP`; a time that nobody can know yet is left out."""
        seconds = max(self.seconds, 1e-9)
        figures = {
            "scenes": len(self.plan.todo),
            "scenes_done": self.done,
            "scenes_failed": len(self.failures),
            "tiles": self.plan.tiles,
            "tiles_done": self.tiles_done,
            "km2_done": round(self.km2, 6),
            "pixels_done": self.pixels,
            "model_seconds": round(self.model_s, 3),
            "busy_seconds": round(self.busy_s, 3),
            "seconds": round(seconds, 3),
            "km2_per_second": round(self.km2 / seconds, 6),
            "mpx_per_second": round(self.pixels / seconds / 1e6, 6),
            "model_share": round(self.model_s / self.busy_s, 4) if self.busy_s else 0.0,
            "workers": self.workers,
        }
        if self.tiles_done and self.plan.tiles:
            failed = sum(self.plan.tiles_of.get(scene, 0) for scene in self.failures)
            left = max(0, self.plan.tiles - failed - self.tiles_done)
            figures["eta_seconds"] = round(seconds / self.tiles_done * left, 1)
        return figures

    def json(self) -> dict[str, object]:
        """The figures, what is under way and what failed, for a status file."""
        return {"state": self.state, **self.told, "active": sorted(self.active), "failures": self.failures}
