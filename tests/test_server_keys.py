"""Keys: who may do what, and that they are kept as hashes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from cyclopts import App
from fastapi import Depends, FastAPI, Request
from serving import app_in, client, settings_in

from pithead.card import Card
from pithead.errors import OptionError
from pithead.server import audit, keys
from pithead.server.database import Database
from pithead.server.keys import ROLES, Caller, Keyring, Role, role
from pithead.server.settings import ROOT


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(Database.open(settings_in(tmp_path).database, schemas=[keys.SCHEMA]))


def with_routes(app: FastAPI) -> FastAPI:
    for least in ROLES:

        def needs(who: Annotated[Caller, Depends(role(least))]) -> str:
            return who.name

        app.add_api_route(f"/v1/needs/{least}", needs, methods=["GET"], name=least)

    @app.get("/v1/detections/{number}/near")
    def near(request: Request, number: int) -> int:
        audit.note(request, {"detections": 3})
        audit.note(request, {"sites": 1})
        return number

    return app


def test_a_key_is_random_and_kept_as_a_hash_only(ring: Keyring) -> None:
    key, other = ring.add("Aygul", "review"), ring.add("Bo", "submit")
    assert key.startswith("pithead_")
    assert len(key) == len("pithead_") + 43  # 256 bits, six to a letter
    assert key != other
    assert ring.holder(key) == Caller("Aygul", "review", 1)
    assert ring.holder(other) == Caller("Bo", "submit", 2)
    assert ring.holder(key + "x") is None
    assert ring.holder("") is None
    assert ring.holder("\udc80") is None
    ring.database.close()
    held = b"".join(path.read_bytes() for path in ring.database.path.parent.iterdir())
    assert key.encode() not in held
    assert key[8:].encode() not in held


def test_a_key_that_is_revoked_opens_nothing_and_leaves_the_door_shut(ring: Keyring) -> None:
    assert ring.empty()
    key = ring.add("Aygul", "admin")
    ring.revoke("Aygul")
    assert ring.holder(key) is None
    assert not ring.empty()
    (told,) = ring.listed()
    assert told.revoked is not None
    with pytest.raises(OptionError, match="not revoked yet"):
        ring.revoke("Aygul")
    with pytest.raises(OptionError, match="no key has or had"):
        ring.add("Aygul", "submit")


@pytest.mark.parametrize("name", ["", " a", "a\n", "a" * 65, "local", "a\u202eb", "a/b"])
def test_a_name_that_would_mislead_is_refused(ring: Keyring, name: str) -> None:
    with pytest.raises(OptionError, match="expected a name"):
        ring.add(name, "submit")
    assert ring.empty()


def test_a_name_may_be_of_any_script(ring: Keyring) -> None:
    ring.add("阿依古丽 2", "review")
    assert [key.name for key in ring.listed()] == ["阿依古丽 2"]


def test_there_are_three_roles_each_above_the_other(ring: Keyring) -> None:
    with pytest.raises(OptionError, match="submit, review, admin"):
        ring.add("Bo", "root")  # type: ignore[arg-type]
    assert [Caller("a", "review").may(least) for least in ROLES] == [True, True, False]


@pytest.mark.parametrize(
    ("mine", "allowed"),
    [("submit", {"submit"}), ("review", {"submit", "review"}), ("admin", {"submit", "review", "admin"})],
)
def test_routes_ask_for_a_role(
    tmp_path: Path, card: Card, ring: Keyring, mine: Role, allowed: set[Role]
) -> None:
    app = with_routes(app_in(tmp_path, card))
    visitor = client(app, ring.add("Aygul", mine), address="192.0.2.7")
    for least in ROLES:
        answer = visitor.get(f"/v1/needs/{least}")
        assert answer.status_code == (200 if least in allowed else 403)
        assert least in allowed or mine in answer.json()["detail"]


def test_either_header_carries_a_key(tmp_path: Path, card: Card, ring: Keyring) -> None:
    app, key = app_in(tmp_path, card), ring.add("Aygul", "review")
    told = {"name": "Aygul", "role": "review", "open": False}
    assert client(app, key).get("/v1/me").json() == told
    assert client(app, X_API_Key=key).get("/v1/me").json() == told
    assert client(app, Authorization=f"bearer  {key}").get("/v1/me").json() == told
    for wrong in ({"X_API_Key": key[:-1]}, {"Authorization": f"Basic {key}"}, {"X_API_Key": ""}):
        answer = client(app, **wrong).get("/v1/me")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert key[:-1] not in answer.text


def test_a_first_key_shuts_the_door_and_its_end_counts_at_once(
    tmp_path: Path, card: Card, ring: Keyring
) -> None:
    app = app_in(tmp_path, card)
    visitor = client(app)
    assert visitor.get("/v1/me").status_code == 200
    key = ring.add("Aygul", "submit")
    assert visitor.get("/v1/me").status_code == 401
    assert client(app, key).get("/v1/me").status_code == 200
    ring.revoke("Aygul")
    assert client(app, key).get("/v1/me").status_code == 401
    assert visitor.get("/v1/me").status_code == 401


def test_the_command_line_gives_lists_and_takes_back(
    tmp_path: Path, card: Card, capsys: pytest.CaptureFixture[str]
) -> None:
    program, archive = App(), str(settings_in(tmp_path).archive)
    program.command(keys.commands)
    with pytest.raises(OptionError, match="expected the folder of an archive"):
        program(["keys", "list", "--archive", archive], exit_on_error=False, print_error=False)
    app = app_in(tmp_path, card)

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            program(["keys", *words, "--archive", archive], exit_on_error=False, print_error=False)
        assert not ended.value.code
        return capsys.readouterr().out

    assert "no key" in run("list")
    key = run("add", "Aygul", "--role", "review").strip()
    assert client(app, key).get("/v1/me").json()["role"] == "review"
    assert "Aygul  review  since 20" in run("list")
    assert key not in run("list")
    run("revoke", "Aygul")
    assert "revoked" in run("list")
    assert client(app, key).get("/v1/me").status_code == 401


def lines(folder: Path) -> list[dict[str, object]]:
    path = settings_in(folder).audit
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_audit_has_a_line_for_who_reads_or_changes(tmp_path: Path, card: Card, ring: Keyring) -> None:
    app = with_routes(app_in(tmp_path, card))
    visitor = client(app, ring.add("Aygul", "review"))
    for quiet in ("/v1/me", "/v1/models", "/healthz", "/openapi.json", "/v1/needs/submit"):
        visitor.get(quiet)
    assert lines(tmp_path) == []
    visitor.get("/v1/detections/7/near?site=a%20b")
    client(app).post("/v1/scenes", content=b"1")
    first, second = lines(tmp_path)
    assert first["caller"] == "Aygul"
    assert (first["method"], first["route"]) == ("GET", "/v1/detections/{number}/near")
    assert (first["ids"], first["query"]) == ({"number": "7"}, "site=a%20b")
    assert (first["status"], first["counts"]) == (200, {"detections": 3, "sites": 1})
    assert isinstance(first["ms"], float)
    assert str(first["time"]).endswith("+00:00")
    assert (second["caller"], second["method"], second["status"]) == (None, "POST", 401)
    assert settings_in(tmp_path).audit.stat().st_mode & 0o777 == 0o600


def test_an_audit_that_cannot_be_written_stands_in_the_servers_log(
    tmp_path: Path, card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    app = with_routes(app_in(tmp_path, card))
    settings_in(tmp_path).audit.mkdir()
    assert client(app).get("/v1/detections/7/near").status_code == 503
    assert '"ids": {"number": "7"}' in caplog.text


def test_keys_are_found_without_the_servers_libraries_of_images() -> None:
    program = (
        "import sys, pithead.server.keys; assert not {'torch', 'onnxruntime', 'rasterio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=True)
