"""Ultralytics without a word to anybody: no telemetry, no downloads, no file in the user's home."""

import os
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ALWAYS_OFF = ("sync", "clearml", "comet", "dvc", "neptune", "raytune", "wandb", "vscode_msg")


def quiet_ultralytics(config_dir: Path, *, training: bool = False, mlflow: bool = False) -> None:
    """Keep ultralytics off the network and out of the user's home; call before anything imports it.

    Its settings file goes to config_dir with the usage events off, and so do the caches of matplotlib.

    Args:
        config_dir: A folder that may be written to.
        training: Let it print what it does, and write what TensorBoard shows.
        mlflow: Let it report to the tracking server that the user has named.
    """
    folder = config_dir / "Ultralytics"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["YOLO_CONFIG_DIR"] = str(config_dir)
    os.environ.setdefault("YOLO_OFFLINE", "1")  # a user who wants weights downloaded sets it to 0
    os.environ["YOLO_AUTOINSTALL"] = "0"
    os.environ.setdefault("YOLO_VERBOSE", "1" if training else "0")
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", "pithead")  # else ultralytics gives its own name
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ.setdefault("MPLCONFIGDIR", str(config_dir / "matplotlib"))
    _give_font(folder)
    settings = import_module("ultralytics").settings  # here, since it reads the environment on import

    known = {name: False for name in ALWAYS_OFF if name in settings}
    settings.update({**known, "tensorboard": training, "mlflow": mlflow})


def _give_font(folder: Path) -> None:
    """Put matplotlib's font where ultralytics looks for Arial, which it would else fetch."""
    found = find_spec("matplotlib")
    if found is not None and found.origin is not None and not (folder / "Arial.ttf").exists():
        font = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        shutil.copyfile(font, folder / "Arial.ttf")
