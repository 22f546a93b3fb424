"""Batches of an epoch: every sample once, shared among the processes of a run."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pithead.learning.samples import Sample, collate


class Share(Sampler[int]):
    """The samples of one process: of epoch e and n samples an epoch, number e · n + i for its share of i.

    With `n` no multiple of the processes, the last ones take a sample more of the beginning: all processes
    must take as many steps as the others, or they would wait for each other for ever.
    """

    def __init__(self, n: int, rank: int = 0, processes: int = 1, *, endless: bool = False) -> None:
        """Take the number of samples of an epoch; only an endless one counts on from epoch to epoch."""
        self.n, self.rank, self.processes, self.endless, self.epoch = n, rank, processes, endless, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of samples of this process."""
        return math.ceil(self.n / self.processes)

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of this process."""
        first = self.epoch * self.n if self.endless else 0
        for i in range(len(self)):
            yield first + (i * self.processes + self.rank) % self.n


class Batches:
    """A loader as ultralytics' trainer and validators use one; workers start with the first batch."""

    def __init__(
        self,
        dataset: Dataset[Sample],
        sampler: Share,
        batch: int,
        workers: int,
        *,
        oriented: bool,
    ) -> None:
        """Take the samples and how many make a batch."""
        self.dataset: Any = dataset
        self.sampler, self.batch_size, self.num_workers = sampler, batch, workers
        self.drop_last = False
        self._loader: Any = DataLoader(
            dataset,
            batch_size=batch,
            sampler=sampler,
            num_workers=workers,
            collate_fn=partial(collate, oriented=oriented),
            pin_memory=torch.cuda.is_available(),
        )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self._loader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of an epoch."""
        yield from self._loader
