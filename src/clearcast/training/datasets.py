"""Datasets and loaders: whole batches from image caches, in an order that depends on seed and epoch alone."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from clearcast.data.pictures import PictureStore

Batch = tuple[Tensor, ...]

EPOCH_SEEDS = 1_000_003  # the distance of two seeds: no two of them share an epoch's order


class ClassDataset(Dataset[Batch]):
    """Images of some rows with their classes.

    A batch is (uint8 (batch, size, size, channels) in 0..255, int64 (batch,)).
    """

    def __init__(self, images: PictureStore, targets: Sequence[int], rows: Sequence[int]) -> None:
        self._images = images
        self._targets = torch.as_tensor(targets)
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return a whole batch, which avoids the collation of single images."""
        rows = [self._rows[index] for index in indices]
        return torch.from_numpy(self._images.batch(rows)), self._targets[rows]


class PairDataset(Dataset[Batch]):
    """Noisy images of some rows with their reference images, both uint8 (batch, size, size, channels) in 0..255."""

    def __init__(self, noisy: PictureStore, references: PictureStore, rows: Sequence[int]) -> None:
        self._noisy = noisy
        self._references = references
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return a whole batch."""
        rows = [self._rows[index] for index in indices]
        return torch.from_numpy(self._noisy.batch(rows)), torch.from_numpy(self._references.batch(rows))


class EpochSampler(Sampler[int]):
    """Random order of each epoch that depends on seed and epoch alone, so that a resumed run has the same."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this before each."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * EPOCH_SEEDS + self._epoch)
        return iter(torch.randperm(self._count, generator=generator).tolist())


def training_loader(dataset: ClassDataset | PairDataset, *, batch: int, seed: int) -> DataLoader[Batch]:
    """Make a loader in random order, another in each epoch; the last batch may be smaller."""
    return _loader(dataset, batch, EpochSampler(len(dataset), seed))


def ordered_loader(dataset: ClassDataset | PairDataset, *, batch: int = 32) -> DataLoader[Batch]:
    """Make a loader in the order of the rows, for evaluation."""
    return _loader(dataset, batch, None)


def _loader(dataset: Any, batch: int, sampler: Sampler[int] | None) -> DataLoader[Batch]:  # noqa: ANN401
    # No worker processes: images come decoded from memory, or from the cache's own threads.
    # Its own generator: a loader draws from it at each start, which must not change the random numbers of dropout.
    return DataLoader(
        dataset, batch_size=batch, sampler=sampler, collate_fn=_as_is, generator=torch.Generator().manual_seed(0)
    )


def _as_is(batch: Any) -> Any:  # noqa: ANN401
    return batch
