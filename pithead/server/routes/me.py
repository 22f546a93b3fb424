"""Who the caller is."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from pithead.server.keys import Caller, Role, role

router = APIRouter(tags=["server"])


class Me(BaseModel):
    """Who the caller is."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "Aygul", "role": "review", "open": False}}
    )
    name: str
    role: Role
    open: bool
    """Whether the server works without keys."""


@router.get("/v1/me")
async def me(who: Annotated[Caller, Depends(role("submit"))]) -> Me:
    """Tell who the caller is, and what they may do."""
    return Me(name=who.name, role=who.role, open=who.key_id is None)
