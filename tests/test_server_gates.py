"""The gates before every route: whose page asks, from where, how much and how long."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from serving import HERE, app_in, client, settings_in
from starlette.types import Message

from pithead.card import Card
from pithead.server import keys
from pithead.server.database import Database
from pithead.server.gates import doorkeeper
from pithead.server.gates.bounds import ENVELOPE, SMALL
from pithead.server.gates.doorkeeper import TRIES, WrongKeys
from pithead.server.gates.watch import HEADERS, POLICY
from pithead.server.keys import Keyring
from pithead.server.settings import Limits


def with_routes(app: FastAPI) -> FastAPI:
    """Routes that read what is sent, as a whole or as it comes, and one that takes its time."""

    async def size(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    for path in ("/v1/detect", "/v1/scenes", "/v1/other"):
        # Before the server's own, which read no bodies of any kind.
        app.router.routes.insert(0, APIRoute(path, size, methods=["POST"]))

    @app.post("/v1/parsed")
    def parsed(body: dict[str, Any]) -> int:
        return len(body)

    @app.get("/v1/slow")
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    return app


@pytest.fixture
def app(tmp_path: Path, card: Card) -> FastAPI:
    limits = Limits(tile_bytes=2000, scene_bytes=5_000_000, answer_s=1)
    return with_routes(app_in(tmp_path, card, limits=limits, hosts=("camps.example",)))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:3000", 200),
        ("localhost", 200),
        ("LOCALHOST:3000", 200),
        ("[::1]:3000", 200),
        ("192.0.2.7", 200),  # nobody can let figures point elsewhere
        ("camps.example:3000", 200),
        ("evil.example", 400),
        ("camps.example.evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost@evil.example", 400),
        ("evil.example#localhost", 400),
        ("localhost/", 400),
        ("localhost:port", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
def test_a_name_that_a_stranger_lets_point_here_is_refused(app: FastAPI, host: str, status: int) -> None:
    assert client(app, Host=host).get("/v1/me").status_code == status
    assert client(app, Host=host).get("/healthz").status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # curl
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),  # typed
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),  # another port of this machine
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 403),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "https://127.0.0.1:443"}, 200),  # through TLS
        ({"Origin": "http://127.0.0.1:4000"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "ftp://127.0.0.1"}, 403),
        ({"Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}, 200),  # no page can say that
    ],
)
def test_a_page_of_another_origin_is_refused(app: FastAPI, headers: dict[str, str], status: int) -> None:
    assert client(app, **headers).post("/v1/other", content=b"1").status_code == status
    assert client(app, **headers).get("/v1/me").status_code == status


def test_a_link_in_a_mail_leads_to_the_page_and_nowhere_else(app: FastAPI) -> None:
    told = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert client(app, **told).get("/").json()["title"] == "No page"
    assert client(app, **told).post("/").status_code == 403
    assert client(app, **{**told, "Sec_Fetch_Dest": "iframe"}).get("/").status_code == 403
    assert client(app, **told).get("/metrics").status_code == 403


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_who_sits_at_the_machine_needs_no_key(app: FastAPI, address: str) -> None:
    assert client(app, address=address).get("/v1/me").json()["open"] is True


@pytest.mark.parametrize("address", ["192.0.2.7", "::2", "::ffff:192.0.2.7", "testclient", ""])
def test_others_need_one(app: FastAPI, address: str) -> None:
    visitor = client(app, address=address)
    assert visitor.get("/v1/me").status_code == 401
    assert visitor.get("/metrics").status_code == 401
    assert visitor.get("/healthz").status_code == 200


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"])
def test_what_a_proxy_on_this_machine_passes_on_is_not_local(app: FastAPI, name: str) -> None:
    assert client(app, **{name: "127.0.0.1"}).get("/v1/me").status_code == 401


def test_a_body_is_not_read_before_its_sender_is_known(app: FastAPI) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"1"
        pytest.fail("the body was read")

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 1))

        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks():
                yield chunk

        async with httpx.AsyncClient(transport=transport, base_url=HERE) as visitor:
            return await visitor.post("/v1/scenes", content=body())

    assert asyncio.run(send()).status_code == 401


def pieces(size: int) -> Iterator[bytes]:
    """A body that does not say how long it is."""
    while size > 0:
        yield b"x" * min(size, 1000)
        size -= 1000


@pytest.mark.parametrize(
    ("path", "most"),
    [("/v1/detect", 2000 + ENVELOPE), ("/v1/scenes", 5_000_000 + ENVELOPE), ("/v1/other", SMALL)],
)
@pytest.mark.parametrize("how", ["told", "untold"])
def test_a_body_over_the_limit_of_its_route_is_stopped(app: FastAPI, path: str, most: int, how: str) -> None:
    def post(size: int) -> httpx.Response:
        return client(app).post(path, content=b"x" * size if how == "told" else pieces(size))

    assert post(most).json() == most
    answer = post(most + 1)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert str(most) in answer.json()["detail"]


def test_a_body_that_fastapi_reads_is_stopped_too(app: FastAPI) -> None:
    answer = client(app).post("/v1/parsed", json={"a": "x" * SMALL})
    assert answer.status_code == 413
    for odd in (b"[" * 100_000, b'{"a":', b"\xff\xfe", b"1"):
        answer = client(app).post("/v1/parsed", content=odd, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), odd[:9]
        assert answer.headers["content-type"] == "application/problem+json"


def test_an_answer_that_takes_too_long_is_given_up(app: FastAPI) -> None:
    begun = time.monotonic()
    answer = client(app).get("/v1/slow?seconds=30")
    assert time.monotonic() - begun < 10
    assert (answer.status_code, answer.json()["title"]) == (503, "Too slow")
    assert "retry-after" in answer.headers
    assert client(app).get("/v1/slow?seconds=0").json() == "done"


def test_a_sender_who_pauses_for_too_long_is_let_go(app: FastAPI) -> None:
    sent: list[Message] = []

    async def post() -> None:
        first = [{"type": "http.request", "body": b"1", "more_body": True}]

        async def receive() -> Message:
            if first:
                return first.pop()
            await asyncio.sleep(30)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/scenes",
            "raw_path": b"/v1/scenes",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 3000),
            "scheme": "http",
            "http_version": "1.1",
        }
        await asyncio.wait_for(app(scope, receive, send), 10)

    asyncio.run(post())
    assert sent[0]["status"] == 408


def test_a_sender_who_goes_away_is_no_fault_of_ours(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Message] = []

    async def post() -> None:
        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/scenes",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "scheme": "http",
        }
        await app(scope, receive, send)

    asyncio.run(post())
    assert sent[0]["status"] == 400
    assert not caplog.records


def test_wrong_keys_are_slowed_down_and_right_ones_are_not(app: FastAPI, tmp_path: Path) -> None:
    key = Keyring(Database.open(settings_in(tmp_path).database, schemas=[keys.SCHEMA])).add("Bo", "submit")
    wrong = client(app, "wrong", address="192.0.2.7")
    assert {wrong.get("/v1/me").status_code for _ in range(TRIES)} == {401}
    answer = wrong.get("/v1/me")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert client(app, "wrong", address="192.0.2.8").get("/v1/me").status_code == 401
    assert client(app, key, address="192.0.2.7").get("/v1/me").status_code == 200


def test_wrong_keys_are_forgotten_after_a_minute_and_of_few_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong, now = WrongKeys(), 1000.0
    monkeypatch.setattr(doorkeeper.time, "monotonic", lambda: now)
    monkeypatch.setattr(doorkeeper, "ADDRESSES", 2)
    told = [wrong.problem("a") is not None for _ in range(TRIES + 2)]
    assert told == [False] * TRIES + [True, True]
    now += 61
    assert wrong.problem("a") is None
    for address in ("b", "c", "d"):
        wrong.problem(address)
    assert len(wrong._seen) == 2


def test_what_shows_detections_is_kept_by_no_cache(app: FastAPI) -> None:
    answer = client(app).get("/v1/me")
    assert answer.headers["cache-control"] == "no-store"
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe" not in POLICY
