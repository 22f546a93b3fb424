"""What weights go back to stands in the run and on the card, as far as anybody knows it."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeOnnx
from tiny import NAMES, SIDE, tiny_recipe, write_tiny_dataset

from pithead.card import Card, CardClass
from pithead.classes import load_classes
from pithead.dataset import dataset_sha256, read_manifest
from pithead.errors import WeightsError
from pithead.files import sha256_of, write_whole
from pithead.leaflet import page
from pithead.learning.quiet import quiet_ultralytics

Network = Any  # ultralytics publishes no types
ROOT = Path(__file__).parents[1]
CLASSES = load_classes(ROOT / "labeling" / "classes.toml")
MADE = {
    "train": {"title": "T", "licence": "L", "use": "training"},
    "val": {"title": "V", "licence": "M", "use": "measuring"},
}
DOTA = {
    "publisher": "ultralytics", "licence": "AGPL-3.0", "pretrained_on": "DOTA", "use": "academic use",
}  # fmt: skip
UNTOLD = {"sources": "unknown", "lineage": "unknown"}


@pytest.fixture(scope="module", autouse=True)
def _quiet(tmp_path_factory: pytest.TempPathFactory) -> None:
    quiet_ultralytics(tmp_path_factory.mktemp("settings"))


@pytest.fixture(scope="module", name="network")
def _network() -> Network:
    import torch
    from ultralytics.nn.tasks import OBBModel

    torch.manual_seed(0)
    model: Network = OBBModel("yolo26n-obb.yaml", nc=len(NAMES), verbose=False)  # type: ignore[no-untyped-call]
    model.names = dict(enumerate(NAMES))
    return model


@pytest.fixture(scope="module", name="pretrained")
def _pretrained(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("pt") / "yolo26n-obb.pt", network, data="cfg/datasets/DOTAv1.yaml")


def save(path: Path, network: Network, data: str = "", **content: Any) -> Path:  # noqa: ANN401
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": deepcopy(network), "train_args": {"data": data} if data else {}, **content}, path)
    return path


def chain(weights: Path, **records: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    from pithead.learning.lineage import Records, lineage_of

    return lineage_of(weights, Records(**records))


def test_a_run_and_its_card_tell_all_that_they_go_back_to(pretrained: Path, tmp_path: Path) -> None:
    from pithead.export import export, read_checkpoint
    from pithead.learning.lineage import Records
    from pithead.learning.plan import prepare
    from pithead.learning.runs import learn

    dataset, records = write_tiny_dataset(tmp_path / "data"), Records(sources=MADE)
    recipe = replace(tiny_recipe(dataset, weights=str(pretrained)), name="first")
    best = learn(prepare(recipe, tmp_path / "runs" / "first", CLASSES, resume=False, records=records))
    run = json.loads((tmp_path / "runs" / "first" / "run.json").read_text("utf-8"))
    beginning = {"file": "yolo26n-obb.pt", "sha256": sha256_of(pretrained), **DOTA}
    assert run["lineage"] == [beginning]
    assert run["start"]["sha256"] == beginning["sha256"]
    assert run["data"]["sources"]["train"] == {"tiles": 4, **MADE["train"]}
    model, facts = read_checkpoint(best)
    assert facts["lineage"] == run["lineage"]
    first = {
        "file": "best.pt",
        "sha256": sha256_of(best),
        "name": "first",
        "dataset_sha256": dataset_sha256(read_manifest(dataset)),
        "sources": run["data"]["sources"],
    }
    assert chain(best) == [first, beginning]

    table = tuple(CardClass(name, "box", "#000000", 0.0) for name in NAMES)
    card = Card("second", table, SIDE, 0.6, "AGPL-3.0-or-later", top_k=20, training=facts)
    card = replace(card, training={**facts, "lineage": chain(best)})
    file = tmp_path / "second.onnx"
    export(model, card, file, np.zeros((1, SIDE, SIDE, 3), np.uint8))
    assert chain(file) == [
        {**first, "file": "second.onnx", "sha256": sha256_of(file), "name": "second"}, first, beginning
    ]  # fmt: skip
    text = page(card, "second.onnx", "0" * 64)
    assert f"| best.pt | first | {first['sha256']} | train (training), val (measuring) |" in text
    assert f"| weights of ultralytics (AGPL-3.0) | {beginning['sha256']} | DOTA (academic use) |" in text
    assert "**Not for passing on: these have learnt from data whose licence" in text


def test_a_resumed_run_keeps_its_lineage_and_one_from_nothing_has_none(
    pretrained: Path, tmp_path: Path
) -> None:
    from pithead.learning.plan import prepare
    from pithead.learning.runs import learn

    dataset = write_tiny_dataset(tmp_path / "data")
    for weights, length in ((str(pretrained), 1), ("", 0)):
        folder = tmp_path / f"run{length}"
        for epochs in (1, 2):
            recipe = tiny_recipe(dataset, weights=weights, epochs=epochs)
            learn(prepare(recipe, folder, CLASSES, resume=epochs == 2))
            run = json.loads((folder / "run.json").read_text("utf-8"))
            assert run["epochs"] == epochs
            assert len(run["lineage"]) == length


def test_what_was_trained_before_lineages_is_found_by_its_files(
    network: Network, pretrained: Path, tmp_path: Path
) -> None:
    dataset = write_tiny_dataset(tmp_path / "data")
    start = {"file": "yolo26n-obb.pt", "sha256": sha256_of(pretrained)}
    facts = {"dataset_sha256": dataset_sha256(read_manifest(dataset)), "start": start}
    path = save(tmp_path / "runs" / "old" / "weights" / "best.pt", network, pithead=facts)
    mine = {"file": "best.pt", "sha256": sha256_of(path), "dataset_sha256": facts["dataset_sha256"]}
    untold = {**start, **UNTOLD}
    assert chain(path) == [{**mine, "sources": "unknown"}, untold]  # nobody knows where to look

    recipe = replace(tiny_recipe(dataset, weights=str(pretrained)), name="old")
    write_whole(tmp_path / "runs" / "old" / "recipe.toml", recipe.to_toml())
    mine["name"] = "old"
    first, second = chain(path, sources=MADE)
    assert first == mine | {
        "sources": {"train": {"tiles": 4, **MADE["train"]}, "val": first["sources"]["val"]}
    }
    assert second == {**start, **DOTA}

    other = replace(recipe, weights=str(save(tmp_path / "other.pt", network)), dataset="gone")
    write_whole(tmp_path / "runs" / "old" / "recipe.toml", other.to_toml())
    assert chain(path, sources=MADE) == [{**mine, "sources": "unknown"}, untold]


def test_an_ancestor_that_cannot_be_read_any_more_is_named(tmp_path: Path) -> None:
    from pithead.learning.lineage import ancestors_of

    path = tmp_path / "a.onnx"
    path.write_bytes(b"of an older layout")
    start = {"file": "a.onnx", "sha256": sha256_of(path)}
    assert ancestors_of({"start": start}, str(path)) == [{**start, **UNTOLD}]


def test_only_a_file_of_that_name_and_data_is_weights_of_ultralytics(
    network: Network, tmp_path: Path
) -> None:
    def told(name: str, data: str) -> dict[str, Any]:
        (found,) = chain(save(tmp_path / name, network, data=data))
        return {key: value for key, value in found.items() if key not in ("file", "sha256")}

    assert told("yolo26n-obb.pt", "") == told("yolo11s-obb.pt", "DOTAv1.5.yaml") == DOTA
    assert told("yolo26n.pt", "coco.yaml")["pretrained_on"] == "COCO"
    assert told("yolo26n-pose.pt", "coco-pose.yaml") == {**DOTA, "pretrained_on": "unknown", "use": "unknown"}
    assert told("yolo26n-obb.pt", "/home/me/mine.yaml") == told("best.pt", "DOTAv1.yaml") == UNTOLD


def test_older_cards_say_what_they_do_not_know(make_onnx: MakeOnnx, card_json: str, tmp_path: Path) -> None:
    card = Card.from_json(card_json)

    def told(**training: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        path = make_onnx(card=replace(card, training=training).to_json())
        first, *rest = chain(path)
        assert (first.pop("file"), first.pop("sha256")) == (path.name, sha256_of(path))
        assert first.pop("name") == "constant"
        return [first, *rest]

    assert told() == [UNTOLD]
    assert told(started_from="") == [{"sources": "unknown"}]
    assert told(started_from="best.pt") == [
        {"sources": "unknown"}, {"file": "best.pt", "sha256": "unknown", **UNTOLD}
    ]  # fmt: skip
    start = {"file": "a.onnx", "sha256": "ab" * 32}
    data = {"sources": {"naip": {"tiles": 1, "use": "training"}}}
    assert told(start=start, started_from="a.onnx", data=data) == [data, {**start, **UNTOLD}]
    with pytest.raises(WeightsError, match="has no card"):
        chain(make_onnx(card=None, name="bare.onnx"))
    with pytest.raises(WeightsError, match="found no such file"):
        chain(tmp_path / "none.pt")


def test_what_is_on_record_completes_a_lineage_and_changes_none_that_is_known(
    make_onnx: MakeOnnx, card_json: str
) -> None:
    sha, data = "ab" * 32, {"sources": {"naip": {"use": "training"}}}
    begin = {"file": "yolo26n-obb.pt", "sha256": "unknown", **DOTA}
    lineages = {sha: [{"file": "b.onnx", "sha256": sha, "note": "by hand", **data}, begin]}
    training = {"start": {"file": "a.onnx", "sha256": sha}}
    path = make_onnx(card=replace(Card.from_json(card_json), training=training).to_json())
    mine, *rest = chain(path, lineages=lineages)
    assert mine["name"] == "constant"
    assert rest == [{"file": "a.onnx", "sha256": sha, "note": "by hand", **data}, begin]
    ends = {"lineage": [{"file": "b.onnx", "sha256": sha, "lineage": "unknown"}]}  # as a run wrote it down
    from pithead.learning.lineage import Records, ancestors_of

    assert ancestors_of(ends, "b.onnx", Records(lineages=lineages)) == lineages[sha]
    known = {"lineage": [{"file": "a.onnx", "sha256": sha, "sources": {}}]}
    path = make_onnx(card=replace(Card.from_json(card_json), training=known).to_json())
    assert chain(path, lineages=lineages)[1:] == known["lineage"]


def test_the_lineages_on_record_go_back_to_a_beginning() -> None:
    from pithead.learning.lineage import read_records

    records = read_records(ROOT / "datasets" / "sources", ROOT / "training" / "ancestors.toml")
    assert {"generated", "naip"} <= records.sources.keys()
    for sha256, chain_of in records.lineages.items():
        assert chain_of[0]["sha256"] == sha256
        assert chain_of[-1].get("publisher") == "ultralytics"
        named = {name for one in chain_of for name in one.get("sources", {})}
        assert named <= records.sources.keys()


@pytest.mark.parametrize(
    "text", ["= 1", "ab = 1", "ab = []", '[[ab]]\nfile = "x"', '[[ab]]\nfile = "x"\nsha256 = "cd"']
)
def test_a_broken_record_is_one_clear_error(tmp_path: Path, text: str) -> None:
    from pithead.learning.lineage import read_records

    (tmp_path / "ancestors.toml").write_text(text, "utf-8")
    with pytest.raises(WeightsError, match=r"expected (a list of )?lineages.*mend it"):
        read_records(tmp_path, tmp_path / "ancestors.toml")
