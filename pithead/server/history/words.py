"""What is told of a site over time, as JSON."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pithead.sites.differences import ChangeKind
from pithead.sites.states import Kind
from pithead.sites.tracks import EventKind
from pithead.sites.view import How, Reason

_INDEX: Final = "The number of the view in `views`, from 0."
_WHY: Final = "Why it cannot be said; `reasons` has the word in full."
_HISTORY: JsonDict = {
    "id": "camp-15",
    "name": "Camp 15",
    "aliases": ["Yodok"],
    "place": {"lon": 126.95, "lat": 38.92},
    "weights": "starter",
    "weights_sha256": "5e" * 32,
    "views": [
        {
            "scene": "camp15_2019-03-12-0f343b0931126a20",
            "scene_sha256": "0f" * 32,
            "acquired": "2019-03-12T02:14:05+00:00",
            "date": "2019-03-12",
            "sensor": "WV02",
            "gsd_m": 0.5,
            "off_nadir_deg": 18.2,
            "weights_sha256": "5e" * 32,
            "shift": {"east_m": 2.1, "north_m": -3.4, "sd_m": 0.8, "pairs": 9, "how": "both"},
            "looked_km2": 1.44,
            "hidden": [{"reason": "cloud", "share": 0.12}],
            "looked_through": True,
            "detections": 12,
            "rejected": 1,
        }
    ],
    "quantities": [
        {
            "name": "heap_area_m2",
            "unit": "m²",
            "class": "coal_heap",
            "measures": [
                {
                    "view": 0, "date": "2019-03-12", "raw": 3972.4, "value": 3746.4, "low": 2648.3,
                    "high": 4705.2, "observable": True, "reason": None, "checked": 0.25,
                }
            ],
        }
    ],
    "tracks": [],
    "changes": [],
    "rules": [],
    "signs": [],
    "reasons": {"cloud": "under cloud"},
    "notes": ["mine_head: these weights do not look for it."],
}  # fmt: skip


class Place(BaseModel):
    """The middle of a site."""

    lon: float
    lat: float


class Shift(BaseModel):
    """How far a scene shows things off where the scenes of the site agree they are."""

    east_m: float
    north_m: float
    sd_m: float = Field(description="The standard error of either.")
    pairs: int = Field(description="Objects that were matched for it.")
    how: How


class Hidden(BaseModel):
    """What keeps a part of the site from being seen."""

    reason: Reason
    share: float = Field(ge=0, le=1, description="Of what the scene shows of the site.")


class View(BaseModel):
    """A scene as this site sees it."""

    scene: str
    scene_sha256: str
    acquired: str
    date: str
    sensor: str | None
    gsd_m: float
    off_nadir_deg: float | None
    weights_sha256: str
    shift: Shift
    looked_km2: float = Field(description="What the scene shows of the site.")
    hidden: list[Hidden]
    looked_through: bool = Field(description="Whether its pixels were looked through for what hides things.")
    detections: int
    rejected: int = Field(description="What a person has said is not there; it counts for nothing.")


class Measure(BaseModel):
    """A quantity on one date."""

    view: int = Field(description=_INDEX)
    date: str
    raw: float = Field(description="As found, uncorrected.")
    value: float | None = Field(description="Corrected for what the weights miss and what they get wrong.")
    low: float | None = Field(description="In 95 of 100 cases it is no less.")
    high: float | None = Field(description="In 95 of 100 cases it is no more.")
    observable: bool
    reason: Reason | None = Field(description=_WHY)
    checked: float | None = Field(description="The share of what was found that a person has confirmed.")


class Quantity(BaseModel):
    """A quantity over time, with a measure for each view."""

    name: str
    unit: str = Field(description="Empty of counts.")
    class_: str = Field(alias="class")
    measures: list[Measure]


class State(BaseModel):
    """Whether a thing was there on a date; not seen is absent only where it would have been seen."""

    date: str
    state: Kind
    reason: Reason | None = Field(description=_WHY)
    p: float | None = Field(description="How likely it is there, given every date.")
    detections: list[str]


class Event(BaseModel):
    """That one heap became several, or several one."""

    kind: EventKind
    before: int = Field(description=_INDEX)
    after: int = Field(description=_INDEX)
    detections_before: list[str]
    detections_after: list[str]


class Track(BaseModel):
    """The same thing over time."""

    id: str
    class_: str = Field(alias="class")
    first_seen: int = Field(description=_INDEX)
    last_seen: int = Field(description=_INDEX)
    states: list[State] = Field(description="One for each view.")
    events: list[Event]
    geometry: dict[str, Any] = Field(description="Where it was last seen.")


class Change(BaseModel):
    """What is other on a later date than on an earlier one."""

    what: str = Field(description="A quantity, the id of a track, or `perimeter` of spans.")
    kind: ChangeKind
    before: int = Field(description=_INDEX)
    after: int = Field(description=_INDEX)
    before_date: str
    after_date: str
    by: float
    low: float
    high: float
    unit: str
    sure: bool = Field(description="Whether it exceeds its error; else it proves nothing.")
    class_: str | None = Field(alias="class")
    checked: bool
    geometry: dict[str, Any] | None


class Rule(BaseModel):
    """When a sign holds, as a person has written it."""

    name: str
    subject: str
    near: list[str]
    within_m: float
    means: str
    author: str
    date: str


class Sign(BaseModel):
    """Whether a rule holds on a date."""

    rule: str
    view: int = Field(description=_INDEX)
    date: str
    holds: bool | None = Field(description="Null where it cannot be said.")
    reason: Reason | None = Field(description=_WHY)
    parts: list[str] = Field(description="The ids of the tracks of which it is made.")
    checked: bool


class SiteHistory(BaseModel):
    """A site over time: what stood where, how much of it, what changed, and what cannot be said."""

    model_config = ConfigDict(json_schema_extra={"examples": [_HISTORY]})

    id: str
    name: str
    aliases: list[str]
    place: Place
    weights: str = Field(description="The weights by which it is told: those that scored most of its scenes.")
    weights_sha256: str
    views: list[View] = Field(description="In order of time.")
    quantities: list[Quantity]
    tracks: list[Track]
    changes: list[Change] = Field(description="By date.")
    rules: list[Rule]
    signs: list[Sign]
    reasons: dict[str, str] = Field(description="Why something cannot be said, word by word.")
    notes: list[str] = Field(description="What cannot be said, and why.")
