"""The process that paints: scenes are decoded here, and not where requests are answered."""

import os
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final

from pithead.errors import SceneError
from pithead.server.cage import shut_in
from pithead.server.clerk import serve
from pithead.server.pictures.chip import chip_png
from pithead.server.pictures.order import Chip, Order, Tile
from pithead.server.pictures.overview import NoOverviewError, lay_overview
from pithead.server.pictures.tile import tile_png
from pithead.server.problems import Problem
from pithead.server.uploads import HEAD_BYTES, kind_of
from pithead.server.wire import Told

_UNREADABLE: Final = "expected a scene that can be read, its file is damaged or no image"
_NICE: Final = 5


def main(*, trusted: bool = False, nice: bool = False) -> None:
    """Paint what is asked for.

    Args:
        trusted: For images of the archive's owner, which may lie anywhere: the network is kept.
        nice: Whether others come first.
    """
    shut_in(network=trusted)
    if nice:
        os.nice(_NICE)
    serve(answer if trusted else answer_strange)


def answer_strange(head: dict[str, object]) -> tuple[Told, bytes]:
    """As `answer`, of an upload: by its first bytes it is a plain image."""
    with suppress(OSError), Path(Order.of(head).plate.path).open("rb") as file:
        try:
            kind_of(file.read(HEAD_BYTES))
        except Problem:
            return {"refused": _UNREADABLE}, b""
    return answer(head)


def answer(head: dict[str, object]) -> tuple[Told, bytes]:
    """A picture; or that there is nothing to be seen, a scene in small is lacking, or it cannot be read."""
    try:
        picture = _painted(Order.of(head))
    except NoOverviewError:
        return {"lacks": "overview"}, b""
    except SceneError as error:
        return {"refused": str(error)}, b""
    except Exception:  # noqa: BLE001 (nothing is done here but with this image: whatever it is, that is why)
        traceback.print_exc()
        return {"refused": _UNREADABLE}, b""
    return {"painted": picture is not None}, picture or b""


def _painted(order: Order) -> bytes | None:
    what = order.what
    if isinstance(what, Tile):
        return tile_png(order.plate, what.z, what.x, what.y, Path(what.overviews), make=False)
    if isinstance(what, Chip):
        return chip_png(order.plate, list(what.outlines), margin_m=what.margin_m, side_px=what.side_px)
    lay_overview(order.plate, Path(what.overviews))
    return None
