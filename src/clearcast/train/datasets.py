"""Training data: targets from a sheet, data sets, samplers and loaders, and sharding of batches.

Targets map noisy images to ok or defect, to noise types, or to reference images. Data sets read rows of a sheet, or
make the batch of each step from random numbers. All loaders give the same batches when training is resumed.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from clearcast.core.errors import SheetError
from clearcast.data.images import ImageCache
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.noise.registry import NoiseType
from clearcast.types import Label

LABEL_CLASSES = (Label.OK.value, Label.DEFECT.value)  # class order in the whole package; defect is the positive class
EPOCH_STEPS = 50  # steps; after each epoch the fit is validated and saved as a checkpoint
EPOCH_SEEDS = 1_000_003  # the distance of two seeds: no two of them share an epoch's order
_PREFETCHED = 3  # batches made in advance
_THREADS = 2
_HELDOUT_STEP = 2**40  # the seed of a held-out batch: a number that no step has

TensorBatch = tuple[Tensor, ...]
MakeBatch = Callable[[np.random.Generator], TensorBatch]


@dataclass(frozen=True, kw_only=True)
class ClassificationTargets:
    """Classification targets: ``targets`` are indices into ``classes``. All tuples are in the order of the rows."""

    images: tuple[Path, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DenoisingTargets:
    """Denoising targets: noisy images and their references, in the order of the sheet's rows."""

    images: tuple[Path, ...]
    references: tuple[Path, ...]


def make_label_targets(sheet: Sheet) -> ClassificationTargets:
    """Make the targets ok or defect of the noisy images."""
    targets = tuple(LABEL_CLASSES.index(row.label) for row in _valid_rows(sheet) if row.label)
    return ClassificationTargets(images=_noisy_paths(sheet), targets=targets, classes=LABEL_CLASSES)


def make_noise_type_targets(sheet: Sheet) -> ClassificationTargets:
    """Make the noise-type targets of the noisy images. Classes are in the order of ``NoiseType``."""
    present = {row.noise_type for row in _valid_rows(sheet)}
    classes = tuple(noise_type.value for noise_type in NoiseType if noise_type in present)
    targets = tuple(classes.index(row.noise_type) for row in sheet.rows if row.noise_type)
    return ClassificationTargets(images=_noisy_paths(sheet), targets=targets, classes=classes)


def make_denoising_targets(sheet: Sheet) -> DenoisingTargets:
    """Make the targets of denoising: the references of the noisy images."""
    references = tuple(sheet.resolve(row.reference) for row in _valid_rows(sheet))
    return DenoisingTargets(images=_noisy_paths(sheet), references=references)


def _noisy_paths(sheet: Sheet) -> tuple[Path, ...]:
    return tuple(sheet.resolve(row.noisy) for row in sheet.rows)


def _valid_rows(sheet: Sheet) -> tuple[SheetRow, ...]:
    bad = [row for row in sheet.rows if row.problems]
    if bad:
        raise SheetError(
            f"{sheet.path}: {len(bad)} of {len(sheet.rows)} rows cannot be used; the first is row {bad[0].number}: "
            f"{bad[0].problems[0]}; see all with 'clearcast check'"
        )
    return sheet.rows


class ClassDataset(Dataset[TensorBatch]):
    """Images of some rows with their classes.

    A batch is (uint8 (batch, size, size, channels) in 0..255, int64 (batch,)).
    """

    def __init__(self, images: ImageCache, targets: Sequence[int], rows: Sequence[int]) -> None:
        self._images = images
        self._targets = torch.as_tensor(targets)
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, indices: Sequence[int]) -> TensorBatch:
        """Return a whole batch, which avoids the collation of single images."""
        rows = [self._rows[index] for index in indices]
        return torch.from_numpy(self._images.batch(rows)), self._targets[rows]


class PairDataset(Dataset[TensorBatch]):
    """Noisy images of some rows with their reference images, both uint8 (batch, size, size, channels) in 0..255."""

    def __init__(self, noisy: ImageCache, references: ImageCache, rows: Sequence[int]) -> None:
        self._noisy = noisy
        self._references = references
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, indices: Sequence[int]) -> TensorBatch:
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


def training_loader(dataset: ClassDataset | PairDataset, *, batch: int, seed: int) -> DataLoader[TensorBatch]:
    """Make a loader in random order, another in each epoch; the last batch may be smaller."""
    return _loader(dataset, batch, EpochSampler(len(dataset), seed))


def evaluation_loader(dataset: ClassDataset | PairDataset, *, batch: int = 32) -> DataLoader[TensorBatch]:
    """Make a loader in the order of the rows, for evaluation."""
    return _loader(dataset, batch, None)


def _loader(dataset: Any, batch: int, sampler: Sampler[int] | None) -> DataLoader[TensorBatch]:  # noqa: ANN401
    # No worker processes: images come decoded from memory, or from the cache's own threads.
    # Its own generator: a loader draws from it at each start, which must not change the random numbers of dropout.
    return DataLoader(
        dataset, batch_size=batch, sampler=sampler, collate_fn=_identity, generator=torch.Generator().manual_seed(0)
    )


def _identity(batch: Any) -> Any:  # noqa: ANN401
    return batch


class SeededStepDataset(Dataset[TensorBatch]):
    """Data set that makes the batch of a step, and in threads the batches of the next steps."""

    def __init__(self, make: MakeBatch, seed: int) -> None:
        self._make = make
        self._seed = seed
        self._pool = ThreadPoolExecutor(_THREADS)
        self._pending: dict[int, Future[TensorBatch]] = {}

    def __getitem__(self, step: int) -> TensorBatch:
        """Return the batch of a step."""
        for future_step in range(step, step + _PREFETCHED):
            if future_step not in self._pending:
                self._pending[future_step] = self._pool.submit(self._make_batch, future_step)
        batch = self._pending.pop(step).result()
        self._pending = {number: pending for number, pending in self._pending.items() if number > step}
        return batch

    def _make_batch(self, step: int) -> TensorBatch:
        rank = _process_rank()
        return self._make(np.random.default_rng((self._seed, step, *([rank] if rank else []))))


class _StepSampler(Sampler[int]):
    """Sampler of the numbers of an epoch's steps."""

    def __init__(self) -> None:
        self._epoch = 0

    def __len__(self) -> int:
        return EPOCH_STEPS

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this before each."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._epoch * EPOCH_STEPS, (self._epoch + 1) * EPOCH_STEPS))


def step_loader(make: MakeBatch, seed: int) -> DataLoader[TensorBatch]:
    """Make the training loader: the batches of one epoch after the other."""
    return DataLoader(
        SeededStepDataset(make, seed),
        batch_size=None,
        sampler=_StepSampler(),
        generator=torch.Generator().manual_seed(0),
    )


def heldout_loader(make: MakeBatch, seed: int, count: int) -> DataLoader[TensorBatch]:
    """Make the held-out loader: the same ``count`` batches at every epoch, from random numbers of their own."""
    batches = [make(np.random.default_rng((seed, _HELDOUT_STEP + number))) for number in range(count)]
    return DataLoader(_FixedBatches(batches), batch_size=None, generator=torch.Generator().manual_seed(0))


class _FixedBatches(Dataset[TensorBatch]):
    def __init__(self, batches: list[TensorBatch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> TensorBatch:
        return self._batches[index]


def shard_batch(tensor: Tensor, number: int, total: int) -> Tensor:
    """Take every ``total``-th row of a batch from row ``number`` on; if there is none, the first row, with weight 0.

    >>> [shard_batch(torch.arange(3), number, 2).tolist() for number in (0, 1)]
    [[0, 2], [1]]
    """
    return tensor[number::total] if number < len(tensor) else tensor[:1]


def _process_rank() -> int:
    """Return the rank of this process in a distributed fit; 0 without one."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def is_worker_rank() -> bool:
    """Return whether this process is a worker of a distributed fit: it writes nothing and ends with the fit."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0
