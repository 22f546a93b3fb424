"""Put what was measured on the card of weights, list them, and write the card as a page to read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from pithead.card import Card, ClassErrors
from pithead.detector import Detector
from pithead.errors import OptionError
from pithead.evaluation import class_errors, kept_results, kept_scenes
from pithead.files import write_whole
from pithead.leaflet import nameless, page, selected
from pithead.manifest import register, warning
from pithead.program import run

app = cyclopts.App(name="card.py", help_format="plaintext")


@app.default
def card(
    weights: Path,
    *,
    evaluation: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True, negative="")] = (),
    errors: str | None = None,
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
    errors
        The same, as TITLE=FOLDER: how wrong detections are (recall by size, precision, boxes and lines) is
        put on the card, for histories of sites, in place of what was there. The scenes must be others than
        those that chose the thresholds.
    out
        Where to write; beside the weights, with the suffix .md, if not given.
    """
    detector = Detector.open(weights, verify=False)
    facts, sha256 = detector.card, detector.sha256
    before = {n: nameless(kept) if n in facts.evaluations else kept for n, kept in facts.metrics.items()}
    if evaluation or errors is not None or before != facts.metrics:
        from pithead.stamp import stamp  # noqa: PLC0415 (listing needs no onnx)

        told = dict(_told(text, facts) for text in evaluation)
        wrong = facts.errors if errors is None else _errors(errors, facts)
        stamp(weights, weights, replace(facts, metrics={**before, **told}, errors=wrong))
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
    title, folder = _titled("--evaluation", text)
    if title == "calibration":
        raise OptionError("expected another title than calibration, which is that of training/calibrate.py")
    try:
        table = json.loads((folder / "evaluation.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"expected what training/evaluate.py --out wrote in {folder}: {error}") from error
    _, of = kept_results(folder)
    _check_same(of, facts, folder)
    return title, selected(table)


def _errors(text: str, facts: Card) -> tuple[ClassErrors, ...]:
    """How wrong these weights are by an evaluation of them, on scenes that did not choose their thresholds.

    Raises:
        DatasetError: The folder does not say which weights were measured, or not how large pixels are.
        OptionError: It is an evaluation of other weights, or on scenes that chose the thresholds.
    """
    title, folder = _titled("--errors", text)
    results, of = kept_results(folder)
    _check_same(of, facts, folder)
    scenes = kept_scenes(folder)
    chose = frozenset(facts.metrics.get("calibration", {}).get("fit", {}).get("scenes_sha256", ()))
    shared = sorted(name for name, sha256 in scenes.items() if sha256 in chose)
    if shared:
        raise OptionError(
            f"expected errors of scenes that did not choose the thresholds, got {', '.join(shared[:3])} of "
            f"the calibration in {folder}: measure on other scenes"
        )
    if not chose or None in scenes.values():
        print("nothing says which scenes chose the thresholds: see to it that errors are of others")
    return class_errors(results, facts, title)


def _titled(option: str, text: str) -> tuple[str, Path]:
    title, _, name = text.rpartition("=")
    if not title:
        raise OptionError(f"expected {option} TITLE=FOLDER, got {text!r}")
    return title, Path(name)


def _check_same(of: Card, facts: Card, folder: Path) -> None:
    # What was measured stands on the card, so that with the first evaluation on it it is another one.
    if replace(of, metrics={}, errors=()) != replace(facts, metrics={}, errors=()):
        raise OptionError(
            f"expected an evaluation of {facts.name} with its present card, got one of other weights, "
            f"thresholds or curves in {folder}: measure these weights"
        )


if __name__ == "__main__":
    run(app)
