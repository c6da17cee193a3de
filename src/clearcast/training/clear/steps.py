"""Seeded step dataset: each batch depends on the seed and the number of its step alone, so that a fit can be resumed.

If several processes fit one network, each makes its own batches.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from clearcast.training.datasets import Batch
from clearcast.training.ranks import rank

EPOCH = 50  # steps; after each epoch the fit is validated and saved as a checkpoint
_AHEAD = 3  # batches made in advance
_THREADS = 2
_HELDOUT_STEP = 2**40  # the seed of a held-out batch: a number that no step has

Make = Callable[[np.random.Generator], Batch]


class StepDataset(Dataset[Batch]):
    """Makes the batch of a step, and in threads the batches of the next steps."""

    def __init__(self, make: Make, seed: int) -> None:
        self._make = make
        self._seed = seed
        self._pool = ThreadPoolExecutor(_THREADS)
        self._pending: dict[int, Future[Batch]] = {}

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a step."""
        for ahead in range(step, step + _AHEAD):
            if ahead not in self._pending:
                self._pending[ahead] = self._pool.submit(self._make_batch, ahead)
        batch = self._pending.pop(step).result()
        self._pending = {number: pending for number, pending in self._pending.items() if number > step}
        return batch

    def _make_batch(self, step: int) -> Batch:
        return self._make(np.random.default_rng((self._seed, step, *([rank()] if rank() else []))))


class StepSampler(Sampler[int]):
    """The numbers of an epoch's steps."""

    def __init__(self) -> None:
        self._epoch = 0

    def __len__(self) -> int:
        return EPOCH

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this before each."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._epoch * EPOCH, (self._epoch + 1) * EPOCH))


def step_loader(make: Make, seed: int) -> DataLoader[Batch]:
    """Make the training loader: the batches of one epoch after the other."""
    return DataLoader(
        StepDataset(make, seed), batch_size=None, sampler=StepSampler(), generator=torch.Generator().manual_seed(0)
    )


def fixed_loader(make: Make, seed: int, count: int) -> DataLoader[Batch]:
    """Make the held-out loader: the same ``count`` batches at every epoch, from random numbers of their own."""
    batches = [make(np.random.default_rng((seed, _HELDOUT_STEP + number))) for number in range(count)]
    return DataLoader(_FixedBatches(batches), batch_size=None, generator=torch.Generator().manual_seed(0))


class _FixedBatches(Dataset[Batch]):
    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        return self._batches[index]
