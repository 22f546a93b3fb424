"""What is to be painted, as it goes over the wire to whoever paints it."""

from dataclasses import asdict, dataclass
from typing import Any

import shapely

from pithead.server.pictures.chip import Outline
from pithead.server.pictures.plate import Plate


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of a web map; `overviews` is the folder of scenes in small."""

    z: int
    x: int
    y: int
    overviews: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A square round outlines, so many pixels wide."""

    outlines: tuple[Outline, ...]
    margin_m: float | None
    side_px: int


@dataclass(frozen=True, slots=True)
class Small:
    """The scene in small, laid into the folder of those."""

    overviews: str


What = Tile | Chip | Small
_KINDS: dict[str, type[Tile | Chip | Small]] = {"tile": Tile, "chip": Chip, "small": Small}


@dataclass(frozen=True, slots=True)
class Order:
    """A picture of a scene."""

    plate: Plate
    what: What

    def told(self) -> dict[str, object]:
        """As JSON has it; `of` gives it back."""
        what: dict[str, Any]
        if isinstance(self.what, Chip):
            outlines = [
                [shapely.to_wkb(one.shape, hex=True), one.colour, one.dashed] for one in self.what.outlines
            ]
            what = {"outlines": outlines, "margin_m": self.what.margin_m, "side_px": self.what.side_px}
        else:
            what = asdict(self.what)
        kind = next(name for name, kind in _KINDS.items() if isinstance(self.what, kind))
        return {"plate": asdict(self.plate), "kind": kind, "what": what}

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Order":
        """The order that was told."""
        what = dict(told["what"])
        if told["kind"] == "chip":
            what["outlines"] = tuple(
                Outline(shapely.from_wkb(shape), colour, dashed) for shape, colour, dashed in what["outlines"]
            )
        return cls(Plate(**told["plate"]), _KINDS[told["kind"]](**what))
