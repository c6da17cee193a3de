"""Training data of a bundle: the request, the usable rows of the sheet, their split, and the training plan."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console

from clearcast.bundle.manifest import MANIFEST_FILE, TrainingDataInfo
from clearcast.core.console import show_progress
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import OutputError, SheetError
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.data.validation import UsableRows, filter_usable_rows
from clearcast.metrics.prediction_table import refuse_small_images
from clearcast.noise.registry import NoiseType
from clearcast.train.paired_images import ImagePair, PairedImageCache, detect_channels, list_image_pairs
from clearcast.train.recipe import SplitShares
from clearcast.train.run_directory import RunDirectory, open_run, write_json
from clearcast.train.split_choice import ResolvedSplit, SplitChoice, begin_split_run, resolve_split
from clearcast.train.trainer import keep_freed_memory, require_device
from clearcast.train.training_budget import DistillationPlan, TrainingPlan, refuse_short_budget
from clearcast.types import Subset

TRAINING_SPLIT_SHARES = SplitShares(test_share=0.2, validation_share=0.0)  # thresholds are chosen by cross-fitting
WORK_FOLDER = "work"  # of checkpoints and cached features, in the bundle's folder; removed when the bundle is complete
_MAX_VALIDATION_ROWS = 64  # that monitor the fit

PlanT = TypeVar("PlanT", TrainingPlan, DistillationPlan)


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """Training request: the sheet, the split, the budget and the device.

    Attributes:
        sheet, split: the rows and their split.
        out: the bundle's folder.
        budget: minutes for everything on this machine; None: the recipe's number of steps, which gives the same
            networks again on the same machine.
        resume, force: see ``open_run``.
        skip_bad: leave out unusable rows.
        backbone: see ``load_pretrained_backbone``.
        devices: the number that fit the denoiser together, each on images of its own: the batch grows with it.
        console: shows the progress.
    """

    sheet: Sheet
    out: Path
    seed: int
    split: SplitChoice = field(default_factory=SplitChoice)
    budget: float | None = None
    resume: bool = False
    force: bool = False
    skip_bad: bool = False
    backbone: Path | None = None
    accelerator: str = "auto"
    devices: int = 1
    console: Console = field(default_factory=Console)

    @property
    def torch_device(self) -> torch.device:
        """The device of networks that Lightning does not fit."""
        return torch.device("cuda" if self.accelerator != "cpu" and torch.cuda.is_available() else "cpu")

    def configuration(self) -> dict[str, Any]:
        """The configuration that determines the bundle, apart from the machine; JSON values."""
        return {
            "recipe": "clear",
            **self.sheet.fingerprint(),
            "seed": self.seed,
            "skip_bad": self.skip_bad,
            "budget": self.budget,
            "split": self.split.configuration(),
        }


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The usable rows of a sheet, their split, and the bundle's folder."""

    run: RunDirectory
    rows: UsableRows
    resolved_split: ResolvedSplit

    @cached_property
    def channels(self) -> Channels:
        """Grey if the noise-free images look grey, or the noisy image of rows without one; else RGB."""
        return detect_channels([self.rows.sheet.resolve(row.reference or row.noisy) for row in self.rows.sheet.rows])

    def indices_of(self, subset: Subset) -> list[int]:
        """Return the indices of a subset's rows among the usable rows."""
        return self.resolved_split.split.rows(subset)

    def rows_of(self, subset: Subset) -> list[SheetRow]:
        """Return the rows of a subset."""
        return [self.rows.sheet.rows[index] for index in self.indices_of(subset)]

    def groups_of(self, subset: Subset) -> list[str]:
        """Return the group of each row of a subset."""
        return [self.resolved_split.parts.of_rows[index] for index in self.indices_of(subset)]

    def pairs(self, rows: Sequence[SheetRow]) -> list[ImagePair]:
        """Return the noisy and noise-free images of rows."""
        return list_image_pairs(self.rows.sheet, rows)

    @property
    def adds_test_noise(self) -> bool:
        """Whether noise is added to measure denoising, since no test row is noisy."""
        return all(row.noise_type is NoiseType.NONE for row in self.rows_of(Subset.TEST))

    def image_caches(self, console: Console) -> tuple[PairedImageCache, PairedImageCache]:
        """Decode the training images, and those that monitor the fit: of validation rows or, without any, the same."""
        training = self._image_cache(self.rows_of(Subset.TRAIN), None, console)
        cached = training.cached_count
        if cached < len(training):
            console.print(
                f"  {cached} of {len(training)} images are kept in memory; the others are read at each use",
                highlight=False,
            )
        validation = [row for row in self.rows_of(Subset.VALIDATION) if row.reference][:_MAX_VALIDATION_ROWS]
        return training, self._image_cache(validation, training.shape, console) if validation else training

    def describe(self, training: PairedImageCache) -> TrainingDataInfo:
        """Describe the training data for the manifest."""
        return {
            "sheet": self.rows.sheet.path.name,
            "sheet_sha256": self.rows.sheet.sha256,
            "rows": {subset.value: len(self.indices_of(subset)) for subset in Subset},
            "split": self.resolved_split.split.description,
            "parts": self.resolved_split.parts.count,
            "parts_source": self.resolved_split.parts.source.value,
            "channels": self.channels.value,
            "shape": list(training.shape),
        }

    def _image_cache(
        self, rows: Sequence[SheetRow], shape: tuple[int, int] | None, console: Console
    ) -> PairedImageCache:
        with show_progress(console, "Reading images") as progress:
            return PairedImageCache(self.pairs(rows), self.channels, shape=shape, progress=progress)


def load_or_decide_plan(
    request: TrainRequest, data: TrainingData, kind: type[PlanT], decide: Callable[[], PlanT]
) -> PlanT:
    """Load the plan of a training, or decide it and keep it in the work folder, so that a resumed training follows it.

    Args:
        request: its budget is shown with the plan.
        data: has the folder.
        kind: the class of the plan.
        decide: makes the plan.
    """
    path = data.run.path / WORK_FOLDER / "plan.json"
    if path.exists():
        plan = kind(**json.loads(path.read_text(encoding="utf-8")))
    else:
        plan = decide()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(plan))
    if request.budget is not None:
        request.console.print(f"  Training budget of {request.budget:g} minutes: {plan.summary}", highlight=False)
    return plan


def prepare_training_data(request: TrainRequest) -> TrainingData:
    """Open the bundle's folder, check the sheet's rows and split them; resumes an interrupted training.

    Raises:
        ClearcastError: the sheet, the machine, the budget or the folder does not allow it.
    """
    keep_freed_memory()
    require_device(request.accelerator, request.devices)
    if request.budget is not None:
        refuse_short_budget(request.budget)
    question = request.configuration()
    if not request.force and (request.out / MANIFEST_FILE).exists():
        raise OutputError(
            f"{request.out} is a complete bundle; choose another --out, or delete it and train again with --force"
        )
    run = open_run(request.out, question, resume=request.resume, force=request.force)
    rows = filter_usable_rows(request.sheet, skip_bad=request.skip_bad, console=request.console, paired=False)
    refuse_small_images(rows)
    resolved_split = resolve_split(
        run, rows, request.split, TRAINING_SPLIT_SHARES, seed=request.seed, console=request.console
    )
    resolved_split.refuse_leaks(rows.sheet.rows, rows.hashes())
    if not resolved_split.split.rows(Subset.TRAIN) or not resolved_split.split.rows(Subset.TEST):
        count = len(rows.sheet.rows)
        raise SheetError(f"{request.sheet.path}: {count} rows are too few for a training and a test split; add rows")
    if run is None or not run.split.exists():
        run = begin_split_run(request.out, question, rows, resolved_split, **_locations(request.sheet))
    return TrainingData(run=run, rows=rows, resolved_split=resolved_split)


def _locations(sheet: Sheet) -> dict[str, str]:
    """Return the absolute paths of the sheet and of its images, by which export and distill find them."""
    return {"sheet": str(sheet.path.absolute()), "root": str(sheet.root.absolute())}
