"""Batches made while the network learns: each depends on the seed and its number alone, whatever was made before.

Where several processes fit together, each makes batches of its own.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from clearcast.training.datasets import Batch
from clearcast.training.ranks import rank

EPOCH = 50  # steps; after each the fit is checkpointed and measured
_AHEAD = 3  # batches made in advance

Make = Callable[[np.random.Generator], Batch]


class StepDataset(Dataset[Batch]):
    """Makes the batch of a step, and those of the next steps ahead of time in threads."""

    def __init__(self, make: Make, seed: int) -> None:
        self._make = make
        self._seed = seed
        self._pool = ThreadPoolExecutor(2)
        self._made: dict[int, Future[Batch]] = {}

    def __getitem__(self, step: int) -> Batch:
        """The batch of this step."""
        for ahead in range(step, step + _AHEAD):
            if ahead not in self._made:
                self._made[ahead] = self._pool.submit(self._one, ahead)
        batch = self._made.pop(step).result()
        self._made = {number: made for number, made in self._made.items() if number > step}
        return batch

    def _one(self, step: int) -> Batch:
        return self._make(np.random.default_rng((self._seed, step, *([rank()] if rank() else []))))


class StepSampler(Sampler[int]):
    """The numbers of an epoch's steps."""

    def __init__(self) -> None:
        self._epoch = 0

    def __len__(self) -> int:
        return EPOCH

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._epoch * EPOCH, (self._epoch + 1) * EPOCH))


def step_loader(make: Make, seed: int) -> DataLoader[Batch]:
    """Batches for one epoch after the other."""
    return DataLoader(
        StepDataset(make, seed), batch_size=None, sampler=StepSampler(), generator=torch.Generator().manual_seed(0)
    )


def fixed_loader(make: Make, seed: int, count: int) -> DataLoader[Batch]:
    """The same batches at every epoch, made once; from other random numbers than any step's."""
    batches = [make(np.random.default_rng((seed, 2**40 + number))) for number in range(count)]
    return DataLoader(_Fixed(batches), batch_size=None, generator=torch.Generator().manual_seed(0))


class _Fixed(Dataset[Batch]):
    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, place: int) -> Batch:
        return self._batches[place]
