"""What networks are fed: whole batches from picture stores, in an order that depends on seed and epoch alone."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from clearcast.data.pictures import PictureStore

Batch = tuple[Tensor, ...]


class ClassDataset(Dataset[Batch]):
    """Pictures of some rows with their classes.

    A batch is (uint8 (batch, size, size, channels) in 0..255, int64 (batch,)).
    """

    def __init__(self, pictures: PictureStore, targets: Sequence[int], rows: Sequence[int]) -> None:
        self._pictures = pictures
        self._targets = torch.as_tensor(targets)
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, places: Sequence[int]) -> Batch:
        """A whole batch at once, which spares the collation of single pictures."""
        rows = [self._rows[place] for place in places]
        return torch.from_numpy(self._pictures.batch(rows)), self._targets[rows]


class PairDataset(Dataset[Batch]):
    """Noisy pictures of some rows with their references, both uint8 (batch, size, size, channels) in 0..255."""

    def __init__(self, noisy: PictureStore, references: PictureStore, rows: Sequence[int]) -> None:
        self._noisy = noisy
        self._references = references
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, places: Sequence[int]) -> Batch:
        """A whole batch at once."""
        rows = [self._rows[place] for place in places]
        return torch.from_numpy(self._noisy.batch(rows)), torch.from_numpy(self._references.batch(rows))


class EpochSampler(Sampler[int]):
    """A new order each epoch that needs no memory of the epochs before: a resumed run goes on as it would have."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        return iter(torch.randperm(self._count, generator=generator).tolist())


def training_loader(dataset: ClassDataset | PairDataset, *, batch: int, seed: int) -> DataLoader[Batch]:
    """Batches in a new order each epoch; the last one may be smaller."""
    return _loader(dataset, batch, EpochSampler(len(dataset), seed))


def ordered_loader(dataset: ClassDataset | PairDataset, *, batch: int = 32) -> DataLoader[Batch]:
    """Batches in the order of the rows, for measuring."""
    return _loader(dataset, batch, None)


def _loader(dataset: Any, batch: int, sampler: Sampler[int] | None) -> DataLoader[Batch]:  # noqa: ANN401
    # No worker processes: pictures come decoded from memory, or from the store's own threads.
    # Its own generator: a loader draws from it whenever it is begun, and must not disturb what dropout draws.
    return DataLoader(
        dataset, batch_size=batch, sampler=sampler, collate_fn=_as_is, generator=torch.Generator().manual_seed(0)
    )


def _as_is(batch: Any) -> Any:  # noqa: ANN401
    return batch
