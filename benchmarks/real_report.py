"""What came of measuring on real scenes, as a page: a plain sentence, tables, differences with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pithead.card import Card
from pithead.evaluation import Difference, SceneResult, compare, summary
from pithead.intervals import RESAMPLES

HEAD = """# Real scenes

Written by `benchmarks/real_scenes.py`; do not edit. The weights are not part of the project: the licence of
the scenes forbids that for some sets, and the recipe makes them again.

    {command}

"""
HOW = """
What is compared: recipes of pithead start from the starter, which has learnt from generated scenes before;
ultralytics' defaults start from the DOTA weights that the starter goes back to, too. On each fold all learn
from the same scenes, each for {length}. SAHI by its defaults also looks at the whole scene at once, and
suppresses by IoU; tuned, it does not, and suppresses by IoS.

What is measured: {scenes} scenes ({km2:.0f} km²) of {places} places, in {folds} folds of places: every scene
by weights that have not learnt from its fold. AP50 is over all scores, pooled over the folds. Spans are those
of guard_perimeter: perimeters as the boxes along them that pithead teaches, for the plain network too, else
there would be nothing to compare; lines are what is linked from them, by the same code for both. Rail loading
counts as whole boxes. Area F1 and the quality of lines are at thresholds of highest F1 on the other folds.
Labels that an annotator called possible, and heaps that are plainly neither coal nor spoil, are neither right
nor wrong. {unmeasured}
"""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to detect, with its results on every scene, and what its trainings took, one a fold."""

    name: str
    title: str
    results: tuple[SceneResult, ...]
    trainings: tuple[Mapping[str, Any], ...] = ()


def page(
    methods: Sequence[Method], card: Card, *, command: str, folds: int, length: str, unmeasured: Sequence[str]
) -> str:
    """The page as Markdown; the first method is the one in question, held against each of the others.

    Args:
        methods: All with results of the same scenes.
        card: Its classes and thresholds are those that count.
        command: What makes the page.
        folds: How many there are.
        length: Of each training, in words.
        unmeasured: Classes of too little truth.
    """
    first, *others = methods
    differences = {other.name: compare(first.results, other.results, card) for other in others}
    numbers = summary(first.results, card)
    left_out = (
        f"{', '.join(unmeasured)} cannot be measured here, there is next to no truth of it: see what the "
        "card of the starter says of generated scenes."
        if unmeasured
        else ""
    )
    told = HOW.format(
        scenes=len(first.results),
        km2=numbers["km2"],
        places=len({r.group for r in first.results}),
        folds=folds,
        length=length,
        unmeasured=left_out,
    )
    parts = [
        HEAD.format(command=command),
        "".join(f"{sentence(first, other, differences[other.name])}\n" for other in others),
        told,
        figures(methods, card),
        trainings(methods),
        apart(first, others, differences, card),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def sentence(first: Method, other: Method, differences: Sequence[Difference]) -> str:
    """Whether the first method is above another one, with an interval that leaves out zero, or not."""
    mean = next(d for d in differences if (d.of, d.figure) == ("mean", "ap50"))
    if mean.difference is None or mean.interval is None:
        return f"- **{first.title} and {other.title} cannot be compared**: too few scenes with truth."
    span = f"{mean.difference:+.3f}, 95 % interval {mean.interval.low:+.3f} to {mean.interval.high:+.3f}"
    values = f"mean AP50 {mean.a:.3f} against {mean.b:.3f} ({span})"
    if not mean.sure:
        return (
            f"- **{first.title} is not shown to be above {other.title}**: {values}; the interval holds zero."
        )
    verb = "is above" if mean.difference > 0 else "is below"
    return f"- **{first.title} {verb} {other.title}**: {values}; the interval leaves out zero."


def figures(methods: Sequence[Method], card: Card) -> str:
    """A line for each method: AP50 of each class that has truth, the mean, areas, lines."""
    every = [summary(method.results, card) for method in methods]
    names = [c.name for c in card.classes if every[0]["classes"][c.name]["truth"]]
    lines = {c.name for c in card.classes if c.geometry == "line"}
    areas = [name for name in names if name not in lines]
    truth = {name: every[0]["classes"][name]["truth"] for name in names}
    columns = [f"AP50 {name} ({truth[name]}{' spans' if name in lines else ''})" for name in names]
    columns += [
        "mean AP50",
        *(f"area F1 {name}" for name in areas),
        "line quality",
        "completeness",
        "correctness",
    ]
    rows = []
    for method, numbers in zip(methods, every, strict=True):
        classes, line = numbers["classes"], numbers["lines"]
        values = [classes[name]["ap50"] for name in names] + [numbers["mean"]["ap50"]]
        values += [classes[name]["area_f1"] for name in areas]
        values += [line["quality"], line["completeness"], line["correctness"]]
        rows.append([method.title, *map(text, values)])
    return table(["", *columns], rows)


def trainings(methods: Sequence[Method]) -> str:
    """What each training took, a line for each method that has any."""
    rows = []
    for method in methods:
        for key in sorted({key for facts in method.trainings for key in facts}):
            told = " / ".join(f"{facts[key]:g}" if key in facts else "–" for facts in method.trainings)
            rows.append([method.title, key.replace("_", " "), told])
    return "Trainings, fold by fold:\n\n" + table(["", "", "of each fold"], rows) if rows else ""


def apart(
    first: Method, others: Sequence[Method], differences: Mapping[str, Sequence[Difference]], card: Card
) -> str:
    """The differences of the first method to the others, with intervals, figure by figure."""
    kinds = ["mean", *(c.name for c in card.classes), "lines"]
    shown = [(of, figure) for of in kinds for figure in ("ap50", "area_f1", "quality")]
    rows = []
    for other in others:
        by_name = {(d.of, d.figure): d for d in differences[other.name]}
        for of, figure in shown:
            one = by_name.get((of, figure))
            if one is None or one.difference is None or one.interval is None:
                continue
            span = f"{one.interval.low:+.3f} to {one.interval.high:+.3f}"
            rows.append([other.title, of, figure, text(one.a), text(one.b), f"{one.difference:+.3f}", span])
    how = f"by a paired bootstrap over places ({RESAMPLES} resamples)"
    told = f"{first.title} less each of the others, {how}:\n\n"
    return told + table(["", "of", "figure", "a", "b", "difference", "95 % interval"], rows) if rows else ""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    head = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*head, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def text(value: float | None) -> str:
    """A figure with three decimals."""
    return "–" if value is None else f"{value:.3f}"
