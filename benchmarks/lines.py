"""What linking makes of the spans of known fences, jittered, some missing and some false."""

import sys
from pathlib import Path

import cyclopts
import numpy as np
from rich.console import Console
from rich.table import Table

from pithead.program import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from oracle_lines import KINDS, measured

app = cyclopts.App(name="lines.py", help_format="plaintext")


@app.default
def lines(*, seeds: int = 100, first: int = 1000) -> None:
    """Print for each kind of fence: completeness, correctness, scenes with a wrong count of rings, areas.

    Parameters
    ----------
    seeds
        Scenes of each kind.
    first
        The first seed; the tests use those from 0.
    """
    table = Table("fences", "scenes", "complete", "correct", "rings wrong", "area median", "95 %", "worst")
    for kind in KINDS:
        found = measured(kind, range(first, first + seeds))
        length = found[0].length
        for one in found[1:]:
            length += one.length
        errors = np.array([error for one in found for error in one.area_errors])
        areas = [f"{np.percentile(errors, q):.1%}" for q in (50, 95, 100)] if len(errors) else ["", "", ""]
        wrong = str(sum(one.rings_wrong > 0 for one in found))
        table.add_row(
            kind, str(seeds), f"{length.completeness:.4f}", f"{length.correctness:.4f}", wrong, *areas
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    run(app)
