"""The ASGI application: routes behind gates, with the page.

    app = create_app(settings, infer, card=card, weights_sha256=sha256)

A test's client must come from 127.0.0.1 and call it by that name, as httpx.ASGITransport(app) does and
`TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))`.
"""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

import pithead
from pithead.card import Card
from pithead.server import document, gates, keys, lookup, mirror, problems
from pithead.server import jobs as queue
from pithead.server.audit import Audit
from pithead.server.database import Database
from pithead.server.desk import Desk, Infer
from pithead.server.history import Historian
from pithead.server.page import Page
from pithead.server.routes import (
    detect,
    detections,
    health,
    history,
    jobs,
    me,
    models,
    reviews,
    scenes,
    scenes_post,
    sites,
    tiles,
)
from pithead.server.settings import Settings
from pithead.server.worker import start_worker

ROUTERS: Final = (
    me.router,
    models.router,
    health.router,
    detect.router,
    scenes_post.router,
    jobs.router,
    scenes.router,
    sites.router,
    history.router,
    detections.router,
    reviews.router,
    tiles.router,
)
SCHEMAS: Final = (keys.SCHEMA, queue.SCHEMA, mirror.SCHEMA)


def create_app(settings: Settings, infer: Infer, *, card: Card, weights_sha256: str) -> FastAPI:
    """Make the application; its lifespan, where it is run, keeps the processes that stand behind it.

    Args:
        settings: How the server is set up.
        infer: Runs a batch of tiles through the model.
        card: That of the weights.
        weights_sha256: The hash of their file.

    Raises:
        StoreError: The database cannot be opened.
    """
    # For its owner alone: who else has an account here is not to read what was found, and where.
    settings.archive.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database.open(settings.database, schemas=SCHEMAS)
    app = FastAPI(
        title="pithead",
        version=pithead.__version__,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_name_of,
        lifespan=_lifespan,
    )
    app.state.desk = Desk(settings, card, weights_sha256, infer, database)
    app.state.historian = Historian()
    for router in ROUTERS:
        app.include_router(router)
    app.router.default = Page(settings.web)
    app.openapi = document.writer(app)  # type: ignore[method-assign]
    problems.install(app)
    gates.install(app, settings, keys.Keyring(database), Audit(settings.audit))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the worker that scores scenes beside the server for as long as it runs."""
    desk: Desk = app.state.desk
    keeper = await run_in_threadpool(start_worker, desk.settings)
    warming = threading.Thread(target=lookup.warm, args=(app,), name="index", daemon=True)
    warming.start()
    try:
        yield
    finally:
        await run_in_threadpool(app.state.historian.close)
        await run_in_threadpool(keeper.stop)
        await run_in_threadpool(warming.join)
        desk.database.close()


def _name_of(route: APIRoute) -> str:
    """What OpenAPI calls an operation, and so what programs made from it call their functions."""
    return route.name
