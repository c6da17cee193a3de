"""Training data of a bundle: the usable rows of a sheet, their split, and their images."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TypeVar

from rich.console import Console

from clearcast.bundle.request import TrainRequest
from clearcast.bundle.sizes import refuse_tiny
from clearcast.data.sheet import Row, Sheet
from clearcast.data.usable import Rows, usable
from clearcast.domain import NoiseType, Subset
from clearcast.errors import OutputError, SheetError
from clearcast.evaluation.study.beginning import begin_divided, division_of
from clearcast.evaluation.study.dividing import Division
from clearcast.evaluation.study.folder import RunFolder, open_run, write_json
from clearcast.imaging import Channels
from clearcast.progress import progress_bar
from clearcast.runtime.manifest import MANIFEST, TrainedOn
from clearcast.training.clear.gallery import Gallery, Pair, channels_of, pairs_of
from clearcast.training.clear.planning import DistillationPlan, TrainingPlan, refuse_short
from clearcast.training.fit import require_device
from clearcast.training.memory import keep_freed_memory
from clearcast.training.recipe import SplitShares

SHARES = SplitShares(test_share=0.2, validation_share=0.0)  # thresholds are chosen by cross-fitting
WORK = "work"  # the folder of checkpoints and cached features, in the bundle's; removed when the bundle is whole
_WATCHED = 64  # validation rows that show how the fitting goes

PlanT = TypeVar("PlanT", TrainingPlan, DistillationPlan)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The usable rows of a sheet, their split, and the bundle's folder."""

    folder: RunFolder
    rows: Rows
    division: Division

    @cached_property
    def channels(self) -> Channels:
        """Grey if the noise-free images look grey, or the noisy image of rows without one; else RGB."""
        return channels_of([self.rows.sheet.resolve(row.reference or row.noisy) for row in self.rows.sheet.rows])

    def indices_of(self, subset: Subset) -> list[int]:
        """The indices of a subset's rows among the usable rows."""
        return self.division.split.rows(subset)

    def rows_of(self, subset: Subset) -> list[Row]:
        """The rows of a subset."""
        return [self.rows.sheet.rows[index] for index in self.indices_of(subset)]

    def groups_of(self, subset: Subset) -> list[str]:
        """The group of each row of a subset."""
        return [self.division.parts.of_rows[index] for index in self.indices_of(subset)]

    def pairs(self, rows: Sequence[Row]) -> list[Pair]:
        """The noisy and noise-free images of rows."""
        return pairs_of(self.rows.sheet, rows)

    @property
    def adds_test_noise(self) -> bool:
        """Whether noise is added to measure denoising, since no test row is noisy."""
        return all(row.noise_type is NoiseType.NONE for row in self.rows_of(Subset.TEST))

    def galleries(self, console: Console) -> tuple[Gallery, Gallery]:
        """The training images, and images to monitor the fit: of validation rows or, without any, the same."""
        training = self._gallery(self.rows_of(Subset.TRAIN), None, console)
        if training.kept < len(training):
            console.print(
                f"  {training.kept} of {len(training)} images are kept in memory; the others are read at each use",
                highlight=False,
            )
        validation = [row for row in self.rows_of(Subset.VALIDATION) if row.reference][:_WATCHED]
        return training, self._gallery(validation, training.shape, console) if validation else training

    def describe(self, training: Gallery) -> TrainedOn:
        """Describe the training data for the manifest."""
        return {
            "sheet": self.rows.sheet.path.name,
            "sheet_sha256": self.rows.sheet.sha256,
            "rows": {subset.value: len(self.indices_of(subset)) for subset in Subset},
            "split": self.division.split.description,
            "parts": self.division.parts.count,
            "parts_source": self.division.parts.source.value,
            "channels": self.channels.value,
            "shape": list(training.shape),
        }

    def _gallery(self, rows: Sequence[Row], shape: tuple[int, int] | None, console: Console) -> Gallery:
        with progress_bar(console, "Reading images") as progress:
            return Gallery(self.pairs(rows), self.channels, shape=shape, progress=progress)


def kept_plan(request: TrainRequest, ground: Ground, kind: type[PlanT], decide: Callable[[], PlanT]) -> PlanT:
    """The plan of a training: decided once and kept in the work folder, so that a resumed training follows it.

    Args:
        request: its budget is shown with the plan.
        ground: has the folder.
        kind: of the plan.
        decide: makes it.
    """
    path = ground.folder.path / WORK / "plan.json"
    if path.exists():
        plan = kind(**json.loads(path.read_text(encoding="utf-8")))
    else:
        plan = decide()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(plan))
    if request.budget is not None:
        request.console.print(f"  Training budget of {request.budget:g} minutes: {plan.summary}", highlight=False)
    return plan


def begin(request: TrainRequest) -> Ground:
    """Split the rows, or resume a training that was stopped.

    Raises:
        ClearcastError: the sheet, the machine, the budget or the folder does not allow it.
    """
    keep_freed_memory()
    require_device(request.accelerator, request.devices)
    if request.budget is not None:
        refuse_short(request.budget)
    question = request.question()
    if not request.force and (request.out / MANIFEST).exists():
        raise OutputError(
            f"{request.out} is a complete bundle; choose another --out, or delete it and train again with --force"
        )
    folder = open_run(request.out, question, resume=request.resume, force=request.force)
    rows = usable(request.sheet, skip_bad=request.skip_bad, console=request.console, paired=False)
    refuse_tiny(rows)
    division = division_of(folder, rows, request.split, SHARES, seed=request.seed, console=request.console)
    division.refuse_leaks(rows.sheet.rows, rows.hashes())
    if not division.split.rows(Subset.TRAIN) or not division.split.rows(Subset.TEST):
        count = len(rows.sheet.rows)
        raise SheetError(f"{request.sheet.path}: {count} rows are too few for a training and a test split; add rows")
    if folder is None or not folder.split.exists():
        folder = begin_divided(request.out, question, rows, division, **_locations(request.sheet))
    return Ground(folder=folder, rows=rows, division=division)


def _locations(sheet: Sheet) -> dict[str, str]:
    """The paths of the sheet and of its images, so that export and distill find them."""
    return {"sheet": str(sheet.path.absolute()), "root": str(sheet.root.absolute())}
