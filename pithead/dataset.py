"""A dataset on disk: tiles, their labels and ignored areas, and a manifest that says where each came from.

The layout is that of ultralytics: images/{train,val}/x.png, labels/{train,val}/x.txt, data.yaml; beside it
ignores/{train,val}/x.txt in the format of the labels, and manifest.jsonl, one tile a line.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pithead.classes import ClassList
from pithead.errors import DatasetError
from pithead.files import lines_of, write_whole
from pithead.geometry import Window

Split = Literal["train", "val"]
MANIFEST = "manifest.jsonl"
DATA_YAML = "data.yaml"


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a dataset: where it lies, what it holds, and where it came from.

    Paths are relative to the dataset folder; `ignores` is None where nothing is ignored. `window` is in grid
    px of `scene` at `gsd_m`; `counts` are the taught boxes by class name, without zeros.
    """

    path: str
    labels: str
    ignores: str | None
    sha256: str
    labels_sha256: str
    scene: str
    site: str
    split: Split
    date: str | None
    window: Window
    gsd_m: float
    counts: Mapping[str, int]
    n_ignored: int

    def __post_init__(self) -> None:
        """Check the split and the sums.

        Raises:
            DatasetError: a split that is neither train nor val, or a sum that is no sha256.
        """
        if self.split not in ("train", "val"):
            raise DatasetError(
                f"{self.path}: split is train or val; got {self.split!r}: cut the dataset again"
            )
        for value in (self.sha256, self.labels_sha256):
            if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
                raise DatasetError(
                    f"{self.path}: a sha256 is 64 hex digits; got {value!r}: cut the dataset again"
                )

    def to_json(self) -> str:
        """The tile as one line of the manifest."""
        return json.dumps({**asdict(self), "counts": dict(self.counts)}, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "Tile":
        """A line of the manifest as a tile.

        Raises:
            DatasetError: a line that is no such tile.
        """
        try:
            record = json.loads(line)
            return cls(**{**record, "window": Window(**record["window"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DatasetError(
                f"a manifest line is a tile as JSON; got {line[:80]!r} ({error}): cut the dataset again"
            ) from error


def rank(*parts: str | int) -> float:
    """A number in [0, 1) that depends on the parts alone: its place in every deterministic draw."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def drawn_split(site: str, val_fraction: float, seed: int) -> Split:
    """The split of a site by its rank alone, so that it stays where it is when others are added."""
    return "val" if rank("split", seed, site) < val_fraction else "train"


def split_sites(sites: Iterable[str], val_fraction: float, seed: int) -> dict[str, Split]:
    """The drawn split of every site, with at least one site in each.

    If the draw leaves one split empty, the lowest rank goes to val or the highest to train.

    Raises:
        DatasetError: fewer than two sites, or a fraction outside (0, 1).
    """
    ordered = sorted(set(sites), key=lambda site: (rank("split", seed, site), site))
    if len(ordered) < 2:
        raise DatasetError(f"train and val need different sites, so at least 2; got {ordered}: add scenes")
    if not 0 < val_fraction < 1:
        raise DatasetError(f"the val fraction is between 0 and 1; got {val_fraction}: try 0.1")
    n_val = sum(drawn_split(site, val_fraction, seed) == "val" for site in ordered)
    n_val = min(max(n_val, 1), len(ordered) - 1)
    return {site: "val" if i < n_val else "train" for i, site in enumerate(ordered)}


def write_manifest(root: Path, tiles: Sequence[Tile]) -> None:
    """Write manifest.jsonl, ordered by path; it appears whole or not at all."""
    lines = [tile.to_json() + "\n" for tile in sorted(tiles, key=lambda tile: tile.path)]
    write_whole(root / MANIFEST, "".join(lines))


def read_manifest(root: Path) -> tuple[Tile, ...]:
    """The tiles of a dataset's folder.

    Raises:
        DatasetError: no manifest, or a line that is no tile.
    """
    try:
        text = (root / MANIFEST).read_text("utf-8")
    except OSError as error:
        raise DatasetError(
            f"a dataset holds {MANIFEST}; {root} does not ({error}): cut it with datasets/cut.py"
        ) from error
    return tuple(Tile.from_json(line) for line in lines_of(text))


def dataset_sha256(tiles: Iterable[Tile]) -> str:
    """One sum for a whole dataset: over path, image sum and label sum of every tile, ordered by path.

    This is what a model's card names as its training data.
    """
    lines = sorted(f"{tile.path} {tile.sha256} {tile.labels_sha256}\n" for tile in tiles)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def verify(root: Path, tiles: Iterable[Tile]) -> None:
    """Check that every tile and label file is there and is the one that the manifest names.

    Raises:
        DatasetError: the first file that is missing or differs.
    """
    for tile in tiles:
        for name, sha256 in ((tile.path, tile.sha256), (tile.labels, tile.labels_sha256)):
            try:
                found = hashlib.sha256((root / name).read_bytes()).hexdigest()
            except OSError as error:
                raise DatasetError(
                    f"{root / name} is in the manifest but not on disk: copy or cut it again"
                ) from error
            if found != sha256:
                raise DatasetError(f"{root / name} has sha256 {found}, the manifest {sha256}: cut it again")


def data_yaml(classes: ClassList) -> str:
    """The data.yaml of ultralytics: no "path", so train and val are sought beside the file wherever it lies.

    (A relative "path" would be sought from the working directory, then from the user's datasets folder.)
    """
    names = "".join(f"  {info.id}: {info.name}\n" for info in classes)
    return f"# Relative to this file, so no 'path'.\ntrain: images/train\nval: images/val\nnames:\n{names}"
