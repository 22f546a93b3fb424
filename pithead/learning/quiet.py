"""Ultralytics without a word to anybody: no telemetry, no downloads, no file in the user's home."""

import os
from pathlib import Path


def quiet_ultralytics(config_dir: Path) -> None:
    """Keep ultralytics off the network and out of the user's home; call before anything imports it.

    Its settings file goes to config_dir with every integration and the usage events off.
    """
    folder = config_dir / "Ultralytics"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["YOLO_CONFIG_DIR"] = str(config_dir)
    os.environ.setdefault("YOLO_OFFLINE", "1")  # a user who wants weights downloaded sets it to 0
    os.environ["YOLO_AUTOINSTALL"] = "0"
    os.environ.setdefault("YOLO_VERBOSE", "0")
    from ultralytics import settings  # noqa: PLC0415 (reads the environment when it is imported)

    names = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb", "vscode_msg")
    settings.update(dict.fromkeys(names, False))  # type: ignore[no-untyped-call]
