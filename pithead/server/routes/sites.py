"""Sites of the archive."""

import json
from collections import defaultdict
from sqlite3 import Row
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pithead.server.keys import Caller, role
from pithead.server.lookup import looking

router = APIRouter(tags=["scenes"])
_SITE: JsonDict = {
    "id": "camp-15",
    "name": "Camp 15",
    "aliases": ["Yodok"],
    "bounds": [126.9, 38.9, 127.1, 39.1],
    "scenes": 14,
    "dates": ["2015-04-02", "2019-03-12"],
    "detections": 212,
}


class Site(BaseModel):
    """A place of interest."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SITE]})

    id: str
    name: str
    aliases: list[str]
    bounds: tuple[float, float, float, float] | None = Field(
        description="Of its polygon, else of its scenes; null where neither lies on the ground."
    )
    scenes: int
    dates: list[str] = Field(
        description="The days on which its scenes were taken, each once, the oldest first."
    )
    detections: int = Field(description="That lie there, in all of its scenes.")


class Sites(BaseModel):
    """Every site, by name."""

    sites: list[Site]


@router.get("/v1/sites")
def sites(request: Request, who: Annotated[Caller, Depends(role("submit"))]) -> Sites:  # noqa: ARG001
    """List sites."""
    with looking(request) as connection:
        rows = connection.execute("SELECT * FROM mirror_sites ORDER BY name").fetchall()
        shown = connection.execute(
            "SELECT s.site, c.acquired, c.frame, c.west, c.south, c.east, c.north FROM mirror_scene_sites s "
            "JOIN mirror_scenes c ON c.id = s.scene ORDER BY c.acquired"
        ).fetchall()
        counts = dict(
            connection.execute(
                "SELECT site, count(*) FROM mirror_detections "
                "WHERE shown = 1 AND site IS NOT NULL GROUP BY site"
            ).fetchall()
        )
    of = defaultdict[str, list[Row]](list)
    for one in shown:
        of[one["site"]].append(one)
    return Sites(
        sites=[
            Site(
                id=row["slug"],
                name=row["name"],
                aliases=json.loads(row["aliases"]),
                bounds=_bounds([row] if row["west"] is not None else of[row["name"]]),
                scenes=len(of[row["name"]]),
                dates=sorted({one["acquired"][:10] for one in of[row["name"]] if one["acquired"]}),
                detections=counts.get(row["name"], 0),
            )
            for row in rows
        ]
    )


def _bounds(rows: list[Row]) -> tuple[float, float, float, float] | None:
    """What holds all of some boxes; of one, itself, also across the antimeridian."""
    placed = [row for row in rows if "frame" not in row.keys() or row["frame"] == "lonlat"]  # noqa: SIM118
    if not placed:
        return None
    west, south = min(row["west"] for row in placed), min(row["south"] for row in placed)
    return west, south, max(row["east"] for row in placed), max(row["north"] for row in placed)
