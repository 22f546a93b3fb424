"""Ultralytics' trainer on pithead's tiles, with what its own cannot do.

The schedule, optimizer, average, early stop, curves, loggers and GPUs are ultralytics'. Ours are: tiles and
views that follow from their number alone, so that a resumed run is the run that was not stopped; epochs of
any number of tiles; checkpoints that a kill cannot tear; bfloat16 on a CPU; ignored areas; and the class
geometry that a view needs.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.models.yolo.obb import OBBTrainer
from ultralytics.utils import DEFAULT_CFG, RANK
from ultralytics.utils.torch_utils import ModelEMA

from pithead.augment import Augmenter
from pithead.cutting import SPAN_WIDTH_M, STRIP_PAD_M
from pithead.errors import WeightsError
from pithead.learning.lineage import lineage_of
from pithead.learning.loader import Batches, Share
from pithead.learning.network import build_network
from pithead.learning.plan import Plan
from pithead.learning.samples import TrainingTiles, ValidationTiles, read_pixels, read_tiles
from pithead.learning.start import start_from
from pithead.learning.state import load_state, save_state
from pithead.recipe import Recipe

DECAY, TAU = 0.999, 300
"""The running average: a run is thousands of steps here, where ultralytics' 0.9999 and 2000 expect more."""

STARTING_TILES = 16
ENDLESS = 10_000
"""Epochs of a run that the clock ends, until the first epoch has shown how many there will be."""


def overrides_of(plan: Plan) -> dict[str, Any]:
    """The recipe in ultralytics' words."""
    recipe = plan.recipe
    return {
        "mode": "train", "model": Path(recipe.model).with_suffix(".yaml").name,
        "data": str(plan.dataset), "save_dir": str(plan.folder), "exist_ok": True,
        "imgsz": recipe.tile_px, "device": _device(recipe.device), "amp": _amp(recipe),
        "epochs": recipe.epochs or ENDLESS, "time": recipe.hours or None, "patience": recipe.patience,
        "batch": recipe.batch, "nbs": recipe.batch, "workers": recipe.workers, "seed": recipe.seed,
        "optimizer": recipe.optimizer, "lr0": recipe.lr0, "lrf": recipe.lr_end, "cos_lr": True,
        "momentum": 0.9, "weight_decay": recipe.weight_decay, "warmup_epochs": recipe.warmup_epochs,
        "warmup_bias_lr": 0.0, "warmup_momentum": 0.8, "close_mosaic": 0, "pretrained": False, "plots": True,
        "nms": False,  # what is watched is the one-to-one head
    }  # fmt: skip


def _device(device: str) -> str:
    """`cuda:0,1` is `0,1` to ultralytics."""
    return "0" if device == "cuda" else device.removeprefix("cuda:")


def _amp(recipe: Recipe) -> bool | str:
    """Bfloat16 where the GPU has it; on a CPU the network does it itself.

    No float16 on older GPUs: ultralytics downloads weights to prove it on, whatever YOLO_OFFLINE says.
    """
    if not recipe.amp or recipe.device == "cpu":
        return False
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else False


class Learning:
    """What is ours in either trainer; a mixin before one of ultralytics'."""

    ema: Any
    start_epoch: int

    def __init__(self, plan: Plan) -> None:
        """Take a checked plan; a resumed one goes on where its state was saved."""
        self.plan, self.seconds = plan, 0.0
        super().__init__(DEFAULT_CFG, overrides_of(plan))  # type: ignore[call-arg]
        self.callbacks: dict[str, list[Any]]
        self.callbacks["on_train_start"] = []  # TensorBoard's picture of the graph takes longer than an epoch
        self.callbacks["on_train_epoch_start"].append(Learning._begin)

    # --- data ------------------------------------------------------------------------------------------

    def get_dataset(self) -> dict[str, Any]:
        """Return what ultralytics wants to know of the data."""
        names = dict(enumerate(self.plan.names))
        return {"train": "train", "val": "val", "nc": len(names), "names": names, "channels": 3}

    def get_dataloader(
        self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Batches:
        """Return the batches of a split, this process's share of them."""
        del rank  # of the machine; a run may use several
        recipe: Recipe = self.plan.recipe
        tiles = read_tiles(self.plan.dataset, dataset_path)
        training = mode == "train"
        dataset: Any = (
            TrainingTiles(tiles, recipe, self._augmenter(recipe))
            if training
            else ValidationTiles(tiles, recipe)
        )
        world: int = max(self.world_size, 1)  # type: ignore[attr-defined]
        share = Share(len(dataset), max(RANK, 0), world, endless=training)
        return Batches(dataset, share, batch_size, recipe.workers, oriented=recipe.oriented)

    def _augmenter(self, recipe: Recipe) -> Augmenter:
        return Augmenter(
            recipe.augment,
            self.plan.geometries,
            self.plan.donors(),
            span_width_px=SPAN_WIDTH_M / recipe.gsd_m,
            strip_pad_px=STRIP_PAD_M / recipe.gsd_m,
        )

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Move a batch to the device; on a CPU too, channels come last, which its convolutions like."""
        batch = super().preprocess_batch(batch)  # type: ignore[misc]
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch

    def plot_training_labels(self) -> None:
        """Draw nothing: reading every label takes a minute, and datasets/check.py shows them."""

    # --- network ---------------------------------------------------------------------------------------

    def setup_model(self) -> None:
        """Build the network and start it from the recipe's weights."""
        recipe = self.plan.recipe
        network = build_network(recipe.model, self.plan.names, oriented=recipe.oriented)
        if recipe.weights and not self.plan.resumes:
            tiles = read_tiles(self.plan.dataset, "train")
            shown = tiles[:: max(1, len(tiles) // STARTING_TILES)][:STARTING_TILES]
            start = start_from(network, recipe.weights, [read_pixels(t.path, recipe.tile_px) for t in shown])
            self.plan.facts["start"] = {"file": recipe.weights.rsplit("/", 1)[-1], **asdict(start)}
        if not self.plan.resumes:
            known = self.plan.records
            self.plan.facts["lineage"] = lineage_of(recipe.weights, known) if recipe.weights else []
        network.casts = recipe.amp
        self.model = network.to(memory_format=torch.channels_last)

    def resume_training(self, ckpt: object) -> None:
        """Take over everything that a stopped run had reached."""
        del ckpt
        self.ema = ModelEMA(self.model, decay=DECAY, tau=TAU)  # type: ignore[no-untyped-call]
        if self.plan.resumes:
            load_state(self)

    def _load_checkpoint_state(self, ckpt: object) -> None:
        """Go back to the last saved state: ultralytics asks for it when a loss is no number."""
        del ckpt
        first = self.start_epoch
        load_state(self)
        self.start_epoch, self.seconds = first, 0.0  # the clock was not stopped

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Let ultralytics learn the epoch again; what stays no number ends the run with one clear line."""
        try:
            return bool(super()._handle_nan_recovery(epoch))  # type: ignore[misc]
        except RuntimeError as error:
            raise WeightsError(f"{self.plan.folder}: {error}; start anew with a lower lr0") from error

    @staticmethod
    def _begin(trainer: Any) -> None:  # noqa: ANN401 (of either kind)
        """Before an epoch: its samples, and a clock that has counted the time before a stop, too."""
        trainer.train_loader.sampler.set_epoch(trainer.epoch)
        if trainer.seconds:
            trainer.train_time_start -= trainer.seconds
            trainer.seconds, trainer.start_epoch = 0.0, 0  # its mean time of an epoch counts from here

    # --- what is left ----------------------------------------------------------------------------------

    def save_model(self) -> bool:
        """Write state.pt, weights/last.pt, and weights/best.pt if it is the best so far; each whole."""
        save_state(self)
        return True

    def final_eval(self) -> None:
        """Draw the curves of the last weights; what the best ones reached is in results.csv."""
        self.epochs = self.epoch + 1  # type: ignore[attr-defined]  # ultralytics draws at the last epoch only
        self.validator.args.plots = True  # type: ignore[attr-defined]
        self.validator(self)  # type: ignore[attr-defined]


class OrientedTrainer(Learning, OBBTrainer):
    """Trains a network for oriented boxes."""


class UprightTrainer(Learning, DetectionTrainer):
    """Trains a network for upright boxes."""
