"""A dataset on disk: tiles, their labels and ignored areas, and a manifest that says where each came from.

The layout is that of ultralytics: images/{train,val}/x.png, labels/{train,val}/x.txt, data.yaml; beside it
ignores/{train,val}/x.txt in the format of the labels, and manifest.jsonl, one tile a line.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pithead.classes import ClassList
from pithead.errors import DatasetError
from pithead.files import lines_of, sha256_of, write_whole
from pithead.geometry import Window
from pithead.sources import provenance

Split = Literal["train", "val"]
Corners = tuple[tuple[float, float], ...]
MANIFEST = "manifest.jsonl"
DATA_YAML = "data.yaml"
FOLDS = "folds"


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a dataset: where it lies, what it holds, and where it came from.

    Paths are relative to the dataset folder; `ignores` is None where nothing is ignored. `window` is in grid
    px of `scene` at `gsd_m`; `counts` are the taught boxes by class name, without zeros. `footprint` are the
    corners (lon, lat) in degrees of the ground that the tile shows, None where the scene has no
    georeference. `place` joins sites that lie close together (`pithead.folds`). `negatives` are the hard
    negatives in it by name. `n_cut` of the ignored boxes are what the tile's edge left of an object, and have
    the tile's mean colour. Fields from `footprint` on may be missing in older manifests.
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
    footprint: Corners | None = None
    sensor: str | None = None
    place: str | None = None
    negatives: Mapping[str, int] = field(default_factory=dict)
    n_cut: int = 0

    def __post_init__(self) -> None:
        """Check the split, the sums and the footprint.

        Raises:
            DatasetError: a split that is neither train nor val, a sum that is no sha256, or a footprint that
                is no polygon on the Earth.
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
        if self.footprint is not None and not _on_earth(self.footprint):
            raise DatasetError(
                f"{self.path}: a footprint is at least 3 corners [lon, lat] in degrees; "
                f"got {self.footprint!r}: cut the dataset again"
            )

    @property
    def ground(self) -> str:
        """The place, or the site where an older manifest has none."""
        return self.place or self.site

    def to_json(self) -> str:
        """The tile as one line of the manifest."""
        return json.dumps(
            {**asdict(self), "counts": dict(self.counts), "negatives": dict(self.negatives)},
            sort_keys=True,
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, line: str) -> "Tile":
        """A line of the manifest as a tile.

        Raises:
            DatasetError: a line that is no such tile.
        """
        try:
            record = json.loads(line)
            corners = record.get("footprint")
            footprint = None if corners is None else tuple((float(lon), float(lat)) for lon, lat in corners)
            return cls(**{**record, "window": Window(**record["window"]), "footprint": footprint})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DatasetError(
                f"a manifest line is a tile as JSON; got {line[:80]!r} ({error}): cut the dataset again"
            ) from error


def _on_earth(corners: Corners) -> bool:
    return len(corners) >= 3 and all(
        math.isfinite(lon) and math.isfinite(lat) and abs(lon) <= 180 and abs(lat) <= 90
        for lon, lat in corners
    )


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


def learnt_from(tiles: Sequence[Tile], cards: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a network learns from: sum, tiles, scenes, objects to learn from, and sources by their `cards`."""
    learnt = [tile for tile in tiles if tile.split == "train"]
    objects: Counter[str] = Counter()
    for tile in learnt:
        objects.update(tile.counts)
    return {
        "sha256": dataset_sha256(tiles),
        "tiles": {"train": len(learnt), "val": len(tiles) - len(learnt)},
        "scenes": len({tile.scene for tile in tiles}),
        "objects": dict(sorted(objects.items())),
        "sources": provenance(((tile.scene, tile.site) for tile in tiles), cards),
    }


def verify(root: Path, tiles: Iterable[Tile]) -> None:
    """Check that every tile and label file is there and is the one that the manifest names.

    Raises:
        DatasetError: the first file that is missing or differs.
    """
    for amiss in damage(root, tiles):
        raise DatasetError(amiss)


def damage(root: Path, tiles: Iterable[Tile]) -> Iterator[str]:
    """Every tile and label file that is missing or is not the one that the manifest names, a line each."""
    for tile in tiles:
        for name, sha256 in ((tile.path, tile.sha256), (tile.labels, tile.labels_sha256)):
            try:
                found = sha256_of(root / name)
            except OSError:
                yield f"{root / name} is in the manifest but not on disk: copy or cut it again"
                continue
            if found != sha256:
                yield f"{root / name} has sha256 {found}, the manifest {sha256}: cut it again"


def write_fold(root: Path, name: str, tiles: Sequence[Tile], classes: ClassList) -> None:
    """Write root/folds/NAME: a dataset of its own whose tiles are those of root, by the splits given.

    It has manifest.jsonl, train.txt and val.txt (lists for ultralytics) and data.yaml.
    """
    folder = root / FOLDS / name
    for split in ("train", "val"):
        lines = sorted(f"./../../{tile.path}\n" for tile in tiles if tile.split == split)
        write_whole(folder / f"{split}.txt", "".join(lines))
    write_whole(folder / DATA_YAML, data_yaml(classes, "train.txt", "val.txt"))
    write_manifest(folder, [_from(tile, "../../") for tile in tiles])


def _from(tile: Tile, way: str) -> Tile:
    return replace(
        tile,
        path=way + tile.path,
        labels=way + tile.labels,
        ignores=way + tile.ignores if tile.ignores else None,
    )


def data_yaml(classes: ClassList, train: str = "images/train", val: str = "images/val") -> str:
    """The data.yaml of ultralytics: no "path", so train and val are sought beside the file wherever it lies.

    (A relative "path" would be sought from the working directory, then from the user's datasets folder.)
    """
    names = "".join(f"  {info.id}: {info.name}\n" for info in classes)
    return f"# Relative to this file, so no 'path'.\ntrain: {train}\nval: {val}\nnames:\n{names}"
