"""Put what was measured on the card of weights, list them, and write the card as a page to read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from pithead.card import Card
from pithead.detector import Detector
from pithead.errors import OptionError
from pithead.evaluation import kept_results
from pithead.files import write_whole
from pithead.leaflet import page, selected
from pithead.manifest import register, warning
from pithead.program import run

app = cyclopts.App(name="card.py", help_format="plaintext")


@app.default
def card(
    weights: Path,
    *,
    evaluation: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True, negative="")] = (),
    out: Path | None = None,
) -> None:
    """List WEIGHTS in the manifest.toml beside them and write the card inside them as Markdown.

    Listing says that these are the weights you mean: it is not asked whether the list named others before.

    Parameters
    ----------
    weights
        An .onnx with a card.
    evaluation
        What training/evaluate.py --out has written of these weights, as TITLE=FOLDER: it is put on the card
        inside of the file first. May be repeated.
    out
        Where to write; beside the weights, with the suffix .md, if not given.
    """
    detector = Detector.open(weights, verify=False)
    facts, sha256 = detector.card, detector.sha256
    if evaluation:
        from pithead.stamp import stamp  # noqa: PLC0415 (listing needs no onnx)

        told = dict(_told(text, facts) for text in evaluation)
        stamp(weights, weights, replace(facts, metrics={**facts.metrics, **told}))
        detector = Detector.open(weights, verify=False)  # as everybody will read it from now on
        facts, sha256 = detector.card, detector.sha256
    unlisted = register(weights, facts)
    if unlisted:
        print(warning(weights.parent, unlisted))
    target = out or weights.with_suffix(".md")
    write_whole(target, page(facts, weights.name, sha256))
    print(target)


def _told(text: str, facts: Card) -> tuple[str, dict[str, Any]]:
    """The title and what a card keeps of an evaluation, if it is of these weights.

    Raises:
        DatasetError: The folder does not say which weights were measured.
        OptionError: It is no evaluation, or one of other weights.
    """
    title, _, name = text.rpartition("=")
    folder = Path(name)
    if not title:
        raise OptionError(f"expected --evaluation TITLE=FOLDER, got {text!r}")
    if title == "calibration":
        raise OptionError("expected another title than calibration, which is that of training/calibrate.py")
    try:
        table = json.loads((folder / "evaluation.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"expected what training/evaluate.py --out wrote in {folder}: {error}") from error
    _, of = kept_results(folder)
    # What was measured stands on the card, so that with the first evaluation on it it is another one.
    if replace(of, metrics={}) != replace(facts, metrics={}):
        raise OptionError(
            f"expected an evaluation of {facts.name} with its present card, got one of other weights, "
            f"thresholds or curves in {folder}: measure these weights"
        )
    return title, selected(table)


if __name__ == "__main__":
    run(app)
