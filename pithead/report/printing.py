"""A page as a PDF, by the Chromium of this machine; it is given no network."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 180


def browser() -> str | None:
    """The Chromium of this machine; None without one."""
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


def print_pdf(page: Path, pdf: Path, chromium: str) -> str | None:
    """Print a page to a file; says why it could not, None if it could."""
    with tempfile.TemporaryDirectory(prefix="pithead-print-") as profile:
        command = [
            chromium, "--headless", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-extensions",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}",
            "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.absolute().as_uri(),
        ]  # fmt: skip
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium refuses to run as root with one
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603 (our own words)
        except (OSError, subprocess.TimeoutExpired) as error:
            pdf.unlink(missing_ok=True)
            return f"{Path(chromium).name} did not print: {error}"
    if done.returncode or not pdf.exists() or not pdf.stat().st_size:
        pdf.unlink(missing_ok=True)
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        return f"{Path(chromium).name} did not print (status {done.returncode}): {last}"
    return None
