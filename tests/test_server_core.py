"""The server's ground: its settings, its database, its problems, and what it says of itself."""

import json
import multiprocessing
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from serving import SHA256, app_in, client, settings_in
from starlette.exceptions import HTTPException

from pithead.card import Card
from pithead.errors import GroundResolutionError, OptionError, PitheadError, StoreError
from pithead.server.database import VERSION, Database
from pithead.server.problems import Problem
from pithead.server.settings import ROOT, Limits, Settings

TABLE = "CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY) STRICT;\n"


def test_settings_without_variables_are_those_of_a_laptop() -> None:
    settings = Settings.of({"HOME": "/root", "PITHEAD_THREADS": " "})
    assert settings == Settings(Path("archive").absolute(), ROOT / "weights" / "starter.onnx")
    assert settings.host == "127.0.0.1"
    assert settings.database == settings.archive / "server.sqlite"


def test_every_variable_is_read_as_its_kind(tmp_path: Path) -> None:
    told = {
        "PITHEAD_ARCHIVE": str(tmp_path / "a"),
        "PITHEAD_WEIGHTS": "w.onnx",
        "PITHEAD_UNVERIFIED": "1",
        "PITHEAD_DEVICE": "cpu",
        "PITHEAD_THREADS": "3",
        "PITHEAD_HOSTS": "a.example, B.example,",
        "PITHEAD_LIMIT_ANSWER_S": "2.5",
        "PITHEAD_LIMIT_TILE_BYTES": "1000",
    }
    settings = Settings.of(told)
    assert settings.archive == tmp_path / "a"
    assert settings.weights == Path("w.onnx").absolute()
    assert (settings.verify, settings.device, settings.threads) == (False, "cpu", 3)
    assert settings.hosts == ("a.example", "b.example")
    assert settings.limits == Limits(answer_s=2.5, tile_bytes=1000)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PITHEAD_THREADS", "two", "a number"),
        ("PITHEAD_THREADS", "-1", "at least 1"),
        ("PITHEAD_LIMIT_ANSWER_S", "nan", "at least 1"),
        ("PITHEAD_LIMIT_ANSWER_S", "inf", "at least 1"),
        ("PITHEAD_LIMIT_PAGE", "0", "at least 1"),
        ("PITHEAD_LIMIT_PAGE", "1.5", "a number"),
        ("PITHEAD_DEVICE", "tpu", "auto, cpu"),
        ("PITHEAD_UNVERIFIED", "yes", "0 or 1"),
        ("PITHEAD_HOSTS", "http://a.example", "leave scheme"),
        ("PITHEAD_TREADS", "2", "PITHEAD_THREADS"),
    ],
)
def test_a_variable_that_cannot_be_is_named(name: str, value: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Settings.of({name: value})


@given(
    st.integers(1, 99),
    st.booleans(),
    st.sampled_from([None, Path("/maps/b.tif")]),
    st.lists(st.sampled_from(["a.example", "b-2.example"]), unique=True),
    st.floats(1, 1e6),
)
def test_another_process_gets_the_same_settings(
    count: int,
    verify: bool,  # noqa: FBT001 (hypothesis gives it by place)
    basemap: Path | None,
    hosts: list[str],
    answer_s: float,
) -> None:
    settings = Settings(
        Path("/archive"),
        Path("/w.onnx"),
        verify=verify,
        threads=count,
        basemap=basemap,
        hosts=tuple(hosts),
        limits=Limits(answer_s=answer_s, page=count),
    )
    assert Settings.of({"PATH": "/bin", **settings.environment()}) == settings


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"max_batch": 0}, {"device": "tpu"}, {"hosts": ("a b",)}])
def test_settings_that_cannot_be_are_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="expected"):
        replace(Settings(Path("a"), Path("w")), **wrong)


def numbers(database: Database) -> list[int]:
    with database.reading() as connection:
        return [row["number"] for row in connection.execute("SELECT number FROM numbers ORDER BY number")]


def test_a_database_is_for_its_owner_alone_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "server.sqlite"
    database = Database.open(path, schemas=[TABLE])
    assert numbers(database) == []
    with database.writing() as connection:
        connection.execute("INSERT INTO numbers VALUES (1)")
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    database.close()
    assert numbers(Database.open(path, schemas=[TABLE])) == [1]


def test_a_block_that_raises_writes_nothing(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "d.sqlite", schemas=[TABLE])
    insert = "INSERT INTO numbers VALUES (1)"
    with pytest.raises(sqlite3.IntegrityError), database.writing() as connection:
        assert [connection.execute(insert) for _ in range(2)]
    with pytest.raises(sqlite3.OperationalError), database.writing() as connection:
        assert connection.execute(insert).execute("no SQL")
    assert numbers(database) == []


def test_a_reader_sees_one_state_and_never_waits(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "d.sqlite", schemas=[TABLE])
    with database.reading() as early:
        assert early.execute("SELECT count(*) FROM numbers").fetchone()[0] == 0
        with database.writing() as connection:
            connection.execute("INSERT INTO numbers VALUES (1)")
            assert numbers(database) == []
        assert early.execute("SELECT count(*) FROM numbers").fetchone()[0] == 0
    assert numbers(database) == [1]


def test_writers_of_all_threads_wait_for_each_other(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "d.sqlite", schemas=[TABLE])

    def count(_: int) -> None:
        with database.writing() as connection:
            (most,) = connection.execute("SELECT coalesce(max(number), 0) FROM numbers").fetchone()
            connection.execute("INSERT INTO numbers VALUES (?)", (most + 1,))

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(count, range(200)))
    assert numbers(database) == list(range(1, 201))


def _insert(database: Database, number: int) -> None:
    with database.writing() as connection:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))


def test_a_fork_gets_connections_of_its_own(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "d.sqlite", schemas=[TABLE])
    assert numbers(database) == []  # one connection is idle now
    child = multiprocessing.get_context("fork").Process(target=_insert, args=(database, 7))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert numbers(database) == [7]


def test_a_database_of_another_version_or_of_no_kind_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    Database.open(path, schemas=[TABLE]).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match=f"of version {VERSION}, got {VERSION + 1}"):
        Database.open(path)
    text = tmp_path / "text.sqlite"
    text.write_text("these are no tables " * 99)
    with pytest.raises(StoreError, match="SQLite"):
        Database.open(text)
    assert text.read_text().startswith("these are no tables")


def with_routes(app: FastAPI) -> FastAPI:
    """The application, and routes that go wrong."""

    @app.get("/v1/count")
    def count(number: Annotated[int, Query(ge=1)]) -> int:
        return number

    @app.get("/v1/wrong/{what}")
    def wrong(what: str) -> None:
        errors: dict[str, Exception] = {
            "problem": Problem(413, "Too many pixels", "expected 9, got 10", {"X-More": "yes"}),
            "http": HTTPException(404, "nothing here"),
            "option": OptionError("expected a colour, got \udc80"),
            "gsd": GroundResolutionError("expected metres"),
            "store": StoreError("/secret/path"),
            "pithead": PitheadError("/secret/path"),
            "bug": KeyError("/secret/path"),
            "text": UnicodeEncodeError("utf-8", "\udc80", 0, 1, "/secret/path"),
        }
        raise errors[what]

    return app


@pytest.mark.parametrize(
    ("what", "status", "told"),
    [
        ("problem", 413, "expected 9, got 10"),
        ("http", 404, "nothing here"),
        ("option", 422, "expected a colour, got \udc80"),
        ("gsd", 422, "expected metres"),
        ("text", 422, "surrogate"),
        ("store", 500, ""),
        ("pithead", 500, ""),
        ("bug", 500, ""),
    ],
)
def test_every_error_is_a_problem_and_a_fault_of_ours_tells_nothing(
    tmp_path: Path, card: Card, what: str, status: int, told: str
) -> None:
    answer = client(with_routes(app_in(tmp_path, card))).get(f"/v1/wrong/{what}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nosniff" in answer.headers["x-content-type-options"]
    problem = answer.json()
    assert problem["status"] == status
    assert problem["instance"] == f"/v1/wrong/{what}"
    assert told in problem["detail"]
    assert "secret" not in answer.text
    if status == 500:
        assert problem["detail"] == ""
    if what == "problem":
        assert problem["type"] == "urn:pithead:problem:too-many-pixels"
        assert answer.headers["x-more"] == "yes"


def test_what_is_not_as_openapi_says_is_named_by_its_place(tmp_path: Path, card: Card) -> None:
    answer = client(with_routes(app_in(tmp_path, card))).get("/v1/count?number=0")
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["errors"] == [
        {"at": "query/number", "expected": "Input should be greater than or equal to 1"}
    ]


def test_a_full_disk_and_a_busy_database_have_their_own_status(tmp_path: Path, card: Card) -> None:
    app = app_in(tmp_path, card)

    @app.get("/v1/full")
    def full() -> None:
        database = Database.open(tmp_path / "d.sqlite", schemas=["CREATE TABLE t (x);\n"])
        with database.writing() as connection:
            connection.execute("PRAGMA max_page_count = 1")
            connection.execute("INSERT INTO t VALUES (zeroblob(1000000))")

    @app.get("/v1/busy")
    def busy() -> None:
        path = tmp_path / "d.sqlite"
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        late = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            late.execute("BEGIN IMMEDIATE")
        finally:
            late.close()
            holder.close()

    assert client(app).get("/v1/full").status_code == 507
    answer = client(app).get("/v1/busy")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_the_server_says_who_one_is_and_what_answers(tmp_path: Path, card: Card) -> None:
    visitor = client(app_in(tmp_path, card))
    assert visitor.get("/v1/me").json() == {"name": "local", "role": "admin", "open": True}
    (model,) = visitor.get("/v1/models").json()["models"]
    assert (model["name"], model["sha256"], model["serving"]) == (card.name, SHA256, True)
    assert (model["gsd_m"], model["tile_px"], model["licence"]) == (0.6, 256, "AGPL-3.0-or-later")
    assert model["classes"][3] == {
        "name": "rail_loading",
        "kind": "strip",
        "color": "#42d4f4",
        "threshold": 0.25,
    }


def test_a_page_answers_what_no_route_has(tmp_path: Path, card: Card) -> None:
    assert client(app_in(tmp_path, card)).get("/").status_code == 404
    web = tmp_path / "web"
    web.mkdir()
    (web / "index.html").write_text("<title>pithead</title>")
    (web / "main.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    (web / "link").symlink_to(tmp_path / "secret")
    visitor = client(app_in(tmp_path, card))
    home = visitor.get("/")
    assert home.status_code == 200
    assert home.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in home.headers["content-security-policy"]
    assert visitor.get("/main.js").headers["cache-control"] == "no-cache"
    for path in ("/v1/none", "/none", "/../secret", "/%2e%2e/secret", "/link", "/a%00b", "//etc/passwd"):
        answer = visitor.get(path)
        assert answer.status_code in (400, 404), path
        assert answer.headers["content-type"] == "application/problem+json"
    answer = visitor.post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_wrong_method_is_told_the_right_ones(tmp_path: Path, card: Card) -> None:
    visitor = client(app_in(tmp_path, card))
    for path, methods in {"/v1/me": "GET", "/v1/scenes": "GET, POST", "/v1/jobs/7": "DELETE, GET"}.items():
        answer = visitor.patch(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)
        assert answer.headers["content-type"] == "application/problem+json"


def test_openapi_has_keys_examples_and_problems(tmp_path: Path, card: Card) -> None:
    document = client(app_in(tmp_path, card)).get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(document)
    Draft202012Validator.check_schema(schemas["Problem"])
    Draft202012Validator(schemas["Problem"]).validate(schemas["Problem"]["example"])
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
    names = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "application/problem+json" in operation["responses"]["default"]["content"], (path, method)
            assert operation["description"], (path, method)
            names.append(operation["operationId"])
    assert len(set(names)) == len(names)


def test_it_is_ready_as_long_as_its_database_answers(tmp_path: Path, card: Card) -> None:
    app = app_in(tmp_path, card)
    visitor = client(app, address="192.0.2.7")
    assert visitor.get("/healthz").text == visitor.get("/readyz").text == "ok\n"
    database: Database = app.state.desk.database
    database.close()
    database.path.write_bytes(b"no tables at all" * 256)
    assert visitor.get("/healthz").status_code == 200
    answer = visitor.get("/readyz")
    assert (answer.status_code, answer.json()["title"]) == (503, "Not ready")


def test_prometheus_is_told_of_requests_by_route_and_not_by_path(tmp_path: Path, card: Card) -> None:
    visitor = client(with_routes(app_in(tmp_path, card)))
    for what in ("http", "option", "option"):
        visitor.get(f"/v1/wrong/{what}")
    visitor.request("STRANGE", "/nowhere")
    text = visitor.get("/metrics").text
    assert 'pithead_requests_total{method="GET",route="/v1/wrong/{what}",status="404"}' in text
    assert 'pithead_requests_total{method="other",route="none"' in text
    assert "nowhere" not in text
    assert "/v1/wrong/option" not in text


def test_several_processes_count_together(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from pithead.server import metrics
from pithead.server.database import Database
database = Database.open(Path(sys.argv[1]), schemas=["CREATE TABLE IF NOT EXISTS jobs (state TEXT);"])
from prometheus_client.parser import text_string_to_metric_families
if len(sys.argv) > 2:
    metrics.ran(int(sys.argv[2]), 0.5)
    with database.writing() as connection:
        connection.execute("INSERT INTO jobs VALUES ('queued')")
else:
    told = metrics.exposition(database).decode()
    names = [family.name for family in text_string_to_metric_families(told)]
    assert len(set(names)) == len(names), names
    print(told)
"""
    folder = tmp_path / "prometheus"
    folder.mkdir()

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "d.sqlite"), *arguments],
            env={"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    run("3")
    run("4")
    told = run()
    assert "pithead_tiles_total 7.0" in told
    assert 'pithead_batch_tiles_bucket{le="4.0"} 2.0' in told
    assert "pithead_model_seconds_sum 1.0" in told
    assert 'pithead_jobs{state="queued"} 2.0' in told


def test_the_application_needs_no_folder_beforehand(tmp_path: Path, card: Card) -> None:
    settings = settings_in(tmp_path)
    app_in(tmp_path, card)
    assert settings.database.exists()
    assert not threading.active_count() > 50


def test_a_bento_keeps_no_archive_in_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BentoML goes into the bento's folder before it loads it; the shell's folder is meant."""
    (tmp_path / "bento" / "src").mkdir(parents=True)
    (tmp_path / "bento" / "bento.yaml").touch()
    monkeypatch.chdir(tmp_path / "bento" / "src")
    assert Settings.of({"PWD": str(tmp_path)}).archive == tmp_path / "archive"
    for told in ({}, {"PWD": str(tmp_path / "bento")}):
        with pytest.raises(OptionError, match="a bento is no place"):
            Settings.of(told)
    monkeypatch.chdir(tmp_path)
    assert Settings.of({}).archive == tmp_path / "archive"
