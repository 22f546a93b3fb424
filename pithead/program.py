"""How every program of pithead ends: well, or with one clear line and exit status 2."""

import sys

from cyclopts import App

from pithead.errors import PitheadError

STOPPED = 130  # what a shell reports of a program ended by Ctrl-C


def run(app: App) -> None:
    """Run a program: a PitheadError is one line on stderr and exit 2, Ctrl-C one line and exit 130."""
    try:
        app()
    except PitheadError as error:
        _end(f"error: {' '.join(str(error).split())}", 2)
    except KeyboardInterrupt:
        _end("stopped", STOPPED)


def _end(line: str, status: int) -> None:
    sys.stderr.write(line + "\n")
    sys.exit(status)
