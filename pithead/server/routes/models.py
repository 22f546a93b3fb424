"""Which weights there are: those that answer, and those whose detections lie in the archive."""

from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from pithead.card import Card
from pithead.changes.sides import Known, weights_in
from pithead.rescore import Archive
from pithead.server.desk import Desk
from pithead.server.keys import Caller, role

router = APIRouter(tags=["server"])
Kind = Literal["box", "strip", "line"]


class ModelClass(BaseModel):
    """A class that weights look for; of those that only the archive knows there is but its name."""

    name: str
    kind: Kind | None = None
    color: str | None = None
    threshold: float | None = None


class Model(BaseModel):
    """Weights."""

    name: str
    sha256: str
    serving: bool
    """Whether they answer /v1/detect and score scenes that are sent."""
    gsd_m: float | None = None
    tile_px: int | None = None
    licence: str | None = None
    classes: list[ModelClass]
    metrics: dict[str, Any] = {}


class Models(BaseModel):
    """All weights, those that are served first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "models": [
                    {
                        "name": "starter",
                        "sha256": "5f" * 32,
                        "serving": True,
                        "gsd_m": 0.6,
                        "tile_px": 1024,
                        "licence": "AGPL-3.0-or-later",
                        "classes": [
                            {"name": "coal_heap", "kind": "box", "color": "#ffe119", "threshold": 0.25}
                        ],
                        "metrics": {},
                    }
                ]
            }
        }
    )
    models: list[Model]


@router.get("/v1/models")
def models(request: Request, who: Annotated[Caller, Depends(role("submit"))]) -> Models:  # noqa: ARG001
    """Tell which weights answer, and which have scored scenes of the archive."""
    desk: Desk = request.app.state.desk
    served = _served(desk.card, desk.weights_sha256)
    known = weights_in(Archive.open(desk.settings.archive).store) if _begun(desk) else ()
    return Models(models=[served, *(_known(one) for one in known if one.sha256 != served.sha256)])


def _begun(desk: Desk) -> bool:
    """Whether a scene was ever taken in."""
    return (desk.settings.archive / "catalog.json").exists()


def _served(card: Card, sha256: str) -> Model:
    return Model(
        name=card.name,
        sha256=sha256,
        serving=True,
        gsd_m=card.gsd_m,
        tile_px=card.tile_px,
        licence=card.licence,
        classes=[
            ModelClass(
                name=one.name, kind=cast("Kind", one.geometry), color=one.colour, threshold=one.threshold
            )
            for one in card.classes
        ],
        metrics=dict(card.metrics),
    )


def _known(one: Known) -> Model:
    classes = [ModelClass(name=name) for name in sorted(one.classes)]
    return Model(name=one.name, sha256=one.sha256, serving=False, classes=classes)
