"""The server by its own description: what a program makes of /openapi.json is answered as that says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi.schemas import OpenApiSchema
from server_archive import CARD, SERVED, Found, add, put, write_flat, write_scene
from test_web import served

from pithead.rescore import Archive
from pithead.server import app as application
from pithead.server import jobs
from pithead.server.database import Database
from pithead.server.settings import Settings
from pithead.store import RunRecord

HEAP: Final = [128.0, 128.0, 60.0, 30.0, 0.0, 0.9, 1.0]
EXAMPLES: Final = 25
CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
OPERATIONS: Final = (
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/v1/me"),
    ("GET", "/v1/models"),
    ("POST", "/v1/detect"),
    ("POST", "/v1/scenes"),
    ("GET", "/v1/scenes"),
    ("GET", "/v1/scenes/{scene}"),
    ("GET", "/v1/scenes/{scene}/tiles/{z}/{x}/{y}.png"),
    ("GET", "/v1/basemap/{z}/{x}/{y}.png"),
    ("GET", "/v1/sites"),
    ("GET", "/v1/sites/{site}"),
    ("GET", "/v1/detections"),
    ("GET", "/v1/detections/summary"),
    ("GET", "/v1/detections/{detection}"),
    ("GET", "/v1/detections/{detection}/chip.png"),
    ("POST", "/v1/detections/{detection}/review"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{id}"),
    ("DELETE", "/v1/jobs/{id}"),
    ("GET", "/v1/jobs/{id}/detections"),
)
PLAIN: Final = frozenset({"/healthz", "/readyz", "/metrics", "/v1/me", "/v1/models", "/v1/sites"})
"""They take nothing that could be wrong."""
CASES: Final = [
    (*one, mode)
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    for one in OPERATIONS
    if mode is GenerationMode.POSITIVE or one[1] not in PLAIN
]
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]


async def heaps(tiles: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
    """A model that sees a heap in every tile."""
    return [np.array([HEAP], np.float32)] * len(tiles)


@dataclass(frozen=True, slots=True)
class Known:
    """A server, its description, and ids of which something is known there."""

    address: str
    schema: OpenApiSchema
    ids: Mapping[str, tuple[str, ...]]
    """By the names of the parameters of paths that take them."""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    """A server of two scenes with detections, one of them without georeference, and of a job that is done."""
    folder = tmp_path_factory.mktemp("schema")
    settings = Settings(folder / "archive", folder / "none.onnx", web=folder / "web")
    with pytest.MonkeyPatch.context() as patch:
        # Nobody does the jobs, so that one that is cancelled is always the same one.
        patch.setattr(application, "start_worker", lambda _: SimpleNamespace(stop=lambda: None))
        ids = filled(settings)
        app = application.create_app(settings, heaps, card=CARD, weights_sha256=SERVED)
        with served(app, worker=True) as address:
            yield Known(address, schemathesis.openapi.from_url(f"{address}/openapi.json"), ids)


def filled(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Fill an archive; gives the ids of what is in it, by the names of the parameters that take them."""
    archive, folder = Archive.open(settings.archive, make=True), settings.archive.parent
    placed = add(archive, write_scene(folder / "placed.tif"), "Camp 15", "2019-03-12")
    flat = add(archive, write_flat(folder / "flat.png"), "Camp 15")
    wall = Found("guard_perimeter", 0.3, (40, 180, 240, 180, 240, 260, 40, 260), line=True)
    kept = put(archive, placed, [Found("coal_heap", 0.9), wall])
    put(archive, flat, [Found("rail_loading", 0.55, (60, 140, 300, 160))])
    database = Database.open(settings.database, schemas=application.SCHEMAS)
    with database.writing() as connection:
        done = jobs.add(connection, jobs.Draft("catalogue", placed.id, "local", scene=placed.id))
        jobs.claim(connection)
        jobs.finish(
            connection, done.id, f"{RunRecord.folder(SERVED, kept.options_sha256)}/{placed.sha256}.json", 2
        )
        waits = jobs.add(connection, jobs.Draft("catalogue", flat.id, "local", scene=flat.id))
    database.close()
    found = (*archive.store.detections(SERVED)["detection"],)
    return {
        "scene": (placed.id, flat.id),
        "id": (done.id, waits.id),
        "detection": found,
        "site": ("camp-15",),
    }


def test_every_operation_is_tried(known: Known) -> None:
    paths = known.schema.raw_schema["paths"]
    assert sorted((method.upper(), path) for path in paths for method in paths[path]) == sorted(OPERATIONS)


def examples(node: object) -> Iterator[tuple[Any, Any]]:
    """Schemas and examples of them, wherever in the document they stand."""
    if isinstance(node, list):
        for one in node:
            yield from examples(one)
    if not isinstance(node, dict):
        return
    told = node.get("examples", [])
    told = (*(told if isinstance(told, list) else ()), *([node["example"]] if "example" in node else ()))
    yield from ((node.get("schema", node), one) for one in told)
    for name, below in node.items():
        if name not in {"example", "examples"}:
            yield from examples(below)


def test_examples_are_of_what_they_stand_beside(known: Known) -> None:
    document = known.schema.raw_schema
    told = list(examples(document))
    assert len(told) >= 10
    for schema, example in told:
        validator = Draft202012Validator(schema | {"components": document["components"]})
        assert [str(error) for error in validator.iter_errors(example) if not is_left_out(error)] == []


def is_left_out(error: Any) -> bool:  # noqa: ANN401 (jsonschema publishes no types)
    """Whether what is missing may be null: FastAPI leaves nulls out of examples."""
    if error.validator != "required":
        return False
    missing = error.schema["properties"][error.message.split("'")[1]]
    return {"type": "null"} in missing.get("anyOf", ())


@pytest.mark.parametrize(("method", "path", "mode"), CASES, ids=str)
def test_nothing_is_answered_but_what_the_description_says(
    known: Known, method: str, path: str, mode: GenerationMode
) -> None:
    described = known.schema[path][method]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described.as_strategy(generation_mode=mode), data=st.data())
    def ask(case: Case[Any], data: st.DataObject) -> None:
        # Else nearly every path would lead to nothing.
        drawn = {
            name: data.draw(st.sampled_from(("", *known.ids.get(name, ())))) for name in case.path_parameters
        }
        ids = {name: one for name, one in drawn.items() if one}
        case.path_parameters.update(ids)
        answer = case.call(base_url=known.address, timeout=30)
        case.validate_response(answer, checks=CHECKS if ids else [*CHECKS, checks.negative_data_rejection])

    ask()
