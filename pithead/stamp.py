"""A card put into an ONNX file in place of the one it has; the network stays as it is."""

from pathlib import Path
from typing import Any

import onnx

from pithead.card import METADATA_KEY, Card
from pithead.errors import CardError, WeightsError
from pithead.files import write_whole

Graph = Any  # onnx publishes no types


def stamp(source: Path, out: Path, card: Card) -> None:
    """Write the network of `source` with another card to `out`, whole or not at all.

    Raises:
        WeightsError: There is no such file, or it is no ONNX model.
        CardError: It has no card yet: it was not exported by pithead.
    """
    model, _ = read_model(source)
    set_card(model, card)
    write_whole(out, model.SerializeToString())


def read_model(source: Path) -> tuple[Graph, Card]:
    """The ONNX model of a file and its card.

    Raises:
        WeightsError: There is no such file, or it is no ONNX model.
        CardError: It has no card: it was not exported by pithead.
    """
    try:
        model = onnx.load(source)
    except Exception as error:  # onnx raises OSError, and what protobuf raises has no public parent
        raise WeightsError(f"expected weights (.onnx) at {source}: {error}") from error
    facts = {p.key: p.value for p in model.metadata_props}
    if METADATA_KEY not in facts:
        raise CardError(f"{source} has no card of pithead; export the weights with training/export.py")
    return model, Card.from_json(facts[METADATA_KEY])


def set_card(model: Graph, card: Card) -> None:
    """Give a model another card; what else its metadata says stays."""
    facts = {p.key: p.value for p in model.metadata_props}
    onnx.helper.set_model_props(model, {**facts, METADATA_KEY: card.to_json()})
