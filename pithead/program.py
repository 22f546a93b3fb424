"""How every program of pithead ends: well, or with one clear line and exit status 2."""

import signal
import sys
from types import FrameType

from cyclopts import App, CycloptsError

from pithead.errors import PitheadError

STOPPED = 130  # what a shell reports of a program ended by Ctrl-C


def run(app: App) -> None:
    """Run a program: bad input is one line on stderr and exit 2, Ctrl-C or SIGTERM one and 130."""
    signal.signal(signal.SIGTERM, _stop)  # a job that is ended by its manager tidies up like one by Ctrl-C
    app.suppress_keyboard_interrupt = False  # cyclopts would end without a word
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except (PitheadError, CycloptsError) as error:
        _end(f"error: {' '.join(str(error).split())}", 2)
    except KeyboardInterrupt:
        _end("stopped", STOPPED)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature of handlers)
    raise KeyboardInterrupt


def _end(line: str, status: int) -> None:
    sys.stderr.write(line + "\n")
    sys.exit(status)
