"""Make generated site histories as an archive: sites across dates and sensors, and what is true of them."""

from pathlib import Path

import cyclopts

from pithead.errors import OptionError
from pithead.generate.history import History
from pithead.pretend import write_archive
from pithead.pretend.archive import How
from pithead.program import run

app = cyclopts.App(name="histories", help_format="markdown")


@app.default
def histories(
    out: Path,
    *,
    count: int = 1,
    seed: int = 0,
    dates: int = 12,
    sensors: int = 4,
    side: float = 1200.0,
    how: How = "observe",
) -> None:
    """Make an archive of COUNT site histories of seeds SEED, SEED + 1, ... in OUT, with truth.json.

    Parameters
    ----------
    out
        An empty folder, or one that is not there yet.
    count
        How many sites.
    seed
        Seed of the first. The same seed and options give the same history.
    dates
        Pictures of each site.
    sensors
        By how many sensors they are.
    side
        Side of a site in metres.
    how
        observe: the pictures are sketches, and the store has what a detector of known errors would find in
        them, under the weights OUT/pretended.onnx. render: the pictures are as those of datasets/generate.py,
        and real weights can score them: inference/rescore.py OUT --weights W.onnx.
    """
    if count < 1:
        raise OptionError(f"expected --count from 1, got {count}")
    drawn = [
        History.draw(one, dates=dates, sensors=sensors, side_m=side) for one in range(seed, seed + count)
    ]
    written = write_archive(drawn, out, how, told=lambda name: print(name, flush=True))
    sites = ", ".join(history.name for history in drawn)
    print(f"{written.scenes} scenes of {sites} in {out}")
    if written.weights is not None:
        print(f"scored by {written.weights}")


if __name__ == "__main__":
    run(app)
