"""Write the card of weights as a page to read: what the ONNX file says of itself, nothing else."""

from pathlib import Path
from typing import Any

import cyclopts

from pithead.card import Card
from pithead.detector import Detector
from pithead.evaluation import COLUMNS
from pithead.files import write_whole
from pithead.program import run

app = cyclopts.App(name="card.py", help_format="plaintext")


@app.default
def card(weights: Path, *, out: Path | None = None) -> None:
    """Write the card inside WEIGHTS as Markdown.

    Parameters
    ----------
    weights
        An .onnx with a card.
    out
        Where to write; beside the weights, with the suffix .md, if not given.
    """
    detector = Detector.open(weights)
    target = out or weights.with_suffix(".md")
    write_whole(target, page(detector.card, weights, detector.sha256))
    print(target)


def page(facts: Card, weights: Path, sha256: str) -> str:
    """The whole page."""
    head = [
        f"# {facts.name}",
        f"`{weights.name}`, sha256 `{sha256}`. Written by `training/card.py` from the card inside the file.",
        f"- Input: {facts.tile_px} px tiles at {facts.gsd_m} m, 8 bit RGB; stretch: {facts.stretch}.",
        f"- Licence: {facts.licence}.",
        *(f"- {key}: {_text(value)}" for key, value in facts.training.items()),
    ]
    sections = [_section(name, values) for name, values in facts.metrics.items()]
    return "\n".join(head) + "\n" + "".join(sections)


def _section(name: str, values: Any) -> str:  # noqa: ANN401 (what the card holds)
    if not isinstance(values, dict) or "classes" not in values:
        return f"\n## {name}\n\n{_text(values)}\n"
    lines = values["lines"]
    rows = [
        f"| {known} | {_text(row['threshold'])} | " + " | ".join(_text(row.get(c)) for c in COLUMNS) + " |"
        for known, row in values["classes"].items()
    ]
    table = [
        f"| class | threshold | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 2) + "|",
        *rows,
    ]
    about = f"{values['scenes']} scenes, {values['km2']:.1f} km². `{values['command']}`"
    parts = ", ".join(f"{key} {_text(lines[key])}" for key in ("completeness", "correctness", "quality"))
    drawn = f"Perimeter lines within {lines['buffer_m']:g} m: {parts}, of {lines['truth_km']:.1f} km."
    return f"\n## {name}\n\n{about}\n\n" + "\n".join(table) + f"\n\n{drawn}\n"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items())
    return "–" if value is None else str(value)


if __name__ == "__main__":
    run(app)
