"""A site over time."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from pithead.server.audit import note
from pithead.server.desk import Desk
from pithead.server.document import REFUSED
from pithead.server.filters import site_called
from pithead.server.history import Answer, Historian, Order, SiteHistory, order_of
from pithead.server.keys import Caller, role
from pithead.server.lookup import looking, mirror_of
from pithead.server.problems import Problem, unavailable

router = APIRouter(tags=["scenes"])
WAIT_S: Final = 25.0
"""So long a request waits for a history; it is worked out all the same, for whoever asks again."""
_SHARE: Final = 0.8
"""Of the time that an answer may take."""
SiteId = Annotated[
    str, Path(min_length=1, max_length=300, examples=["camp-15"], description="Its id, name or alias.")
]
_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    404: {**REFUSED, "description": "There is no such site, or nothing that can be told of it, and why."},
    503: {**REFUSED, "description": "It is being worked out: ask again after Retry-After."},
}


@router.get("/v1/sites/{site}", response_model=SiteHistory, responses=_REFUSALS)
async def history(
    request: Request,
    who: Annotated[Caller, Depends(role("submit"))],  # noqa: ARG001
    site: SiteId,
) -> Response:
    """Tell what stood at a site on each date, how much of it, what changed, and what cannot be said.

    The first answer after scenes, detections or reviews of the site have changed takes a while: it is worked
    out by a process of its own, one site after the other.
    """
    order = await run_in_threadpool(_order, request, site)
    if order.weights is None:
        raise Problem(404, "Nothing to tell", f"No weights have scored a scene of {order.site}.")
    historian: Historian = request.app.state.historian
    desk: Desk = request.app.state.desk
    answer = asyncio.wrap_future(historian.ask(order))
    answer.add_done_callback(_heard)
    done, _ = await asyncio.wait({answer}, timeout=min(WAIT_S, _SHARE * desk.settings.limits.answer_s))
    if not done:
        raise unavailable("Being worked out", f"expected the history of {order.site}, it is being worked out")
    if answer.cancelled():
        raise unavailable("Changed", "expected an archive that stays as it is for a moment: ask again")
    found = answer.result()
    note(request, {"detections": found.detections})
    return Response(found.body, media_type="application/json")


def _order(request: Request, site: str) -> Order:
    desk: Desk = request.app.state.desk
    with looking(request) as connection:
        name = site_called(connection, site)
        if name is None:
            raise Problem(
                404, "", "expected the id of a site of the archive, got another: GET /v1/sites lists them"
            )
        remote = "://" in mirror_of(request).archive.store_place
        return order_of(connection, name, desk.settings, desk.weights_sha256, remote=remote)


def _heard(answer: "asyncio.Future[Answer]") -> None:
    """Hear of a failure that nobody waits for any more."""
    if not answer.cancelled():
        answer.exception()
