"""Study request and study context: the options of a study, and the data that its stages share.

Also the data warnings for readers of the results, and the checks before training.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from clearcast.core.console import show_progress
from clearcast.core.errors import SheetError
from clearcast.core.evidence_schema import Stage
from clearcast.core.numbers import format_count
from clearcast.data.images import ImageCache
from clearcast.data.sheet import Sheet
from clearcast.data.splits import Split
from clearcast.data.validation import UsableRows
from clearcast.metrics.results import DataWarning, WarningKind, make_data_warning
from clearcast.train.datasets import (
    ClassificationTargets,
    make_denoising_targets,
    make_label_targets,
    make_noise_type_targets,
)
from clearcast.train.recipe import Recipe
from clearcast.train.run_directory import RunDirectory
from clearcast.train.split_choice import ResolvedSplit, SplitChoice
from clearcast.types import Label, Subset


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """Data, recipe, split and options of a study.

    ``stages`` are run unless they are done; with ``repeat`` they run again, with the stages that depend on them. With
    ``robustness``, stages 1, 3 and 4 are also evaluated at rising levels of synthetic noise. ``resume`` and ``force``
    are those of ``open_run``. ``cache_bytes`` bounds the memory of decoded images. With ``offline``, AlexNet's weights
    for LPIPS are not downloaded.
    """

    sheet: Sheet
    recipe: Recipe
    out: Path
    seed: int
    split: SplitChoice = field(default_factory=SplitChoice)
    stages: tuple[Stage, ...] = tuple(stage for stage in Stage if stage is not Stage.TRANSFER)
    robustness: bool = True
    resume: bool = False
    force: bool = False
    repeat: bool = False
    skip_bad: bool = False
    cache_bytes: int = 2 * 2**30
    accelerator: str = "auto"
    lpips_backbone: Path | None = None
    offline: bool = False
    mlflow_uri: str | None = None
    console: Console = field(default_factory=Console)

    def configuration(self) -> dict[str, Any]:
        """Return everything that results depend on, except the machine; ready for JSON."""
        return {
            **self.sheet.fingerprint(),
            "seed": self.seed,
            "skip_bad": self.skip_bad,
            "recipe": self.recipe.model_dump(mode="json"),
            "split": self.split.configuration(),
        }


@dataclass(frozen=True, kw_only=True)
class StudyContext:
    """Rows, split, recipe and run directory of a study, and its images, which are decoded at first use."""

    rows: UsableRows
    resolved_split: ResolvedSplit
    recipe: Recipe
    folder: RunDirectory
    cache_bytes: int
    console: Console
    _image_caches: dict[str, ImageCache] = field(default_factory=dict)

    @property
    def sheet(self) -> Sheet:
        """The sheet with its usable rows."""
        return self.rows.sheet

    @cached_property
    def noisy(self) -> ImageCache:
        """The noisy images."""
        return self._load_images("noisy", make_label_targets(self.sheet).images)

    @cached_property
    def references(self) -> ImageCache:
        """The reference images."""
        return self._load_images("reference", make_denoising_targets(self.sheet).references)

    @cached_property
    def denoised(self) -> ImageCache:
        """The denoised images that stage 3 wrote."""
        return self._load_images("denoised", [self.folder.denoised(row.number, row.noisy) for row in self.sheet.rows])

    @property
    def train(self) -> list[int]:
        """Indices of the training rows."""
        return self.resolved_split.split.rows(Subset.TRAIN)

    @property
    def heldout(self) -> list[int]:
        """Indices of the rows evaluated after each epoch: the validation rows, or the test rows if there are none."""
        return self.validation or self.test

    @property
    def validation(self) -> list[int]:
        """Indices of the validation rows; there may be none."""
        return self.resolved_split.split.rows(Subset.VALIDATION)

    @property
    def test(self) -> list[int]:
        """Indices of the test rows."""
        return self.resolved_split.split.rows(Subset.TEST)

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Count the rows of each subset by label and by noise type."""
        return {
            subset.value: {
                "label": dict(Counter(str(self.sheet.rows[row].label) for row in rows)),
                "noise": dict(Counter(str(self.sheet.rows[row].noise_type) for row in rows)),
            }
            for subset in Subset
            if (rows := self.resolved_split.split.rows(subset))
        }

    def warnings(self) -> list[DataWarning]:
        """List the data warnings of the report."""
        return [
            *wrong_reference_warnings(self.rows),
            *self._shared_part_warnings(),
            *self._shared_file_warnings(),
            *self._untested_label_warnings(),
            *self._stretched_image_warnings(),
        ]

    def refuse_leaks(self) -> None:
        """Check a grouped split for leakage; see ``ResolvedSplit.refuse_leaks``."""
        self.resolved_split.refuse_leaks(self.sheet.rows, self.rows.hashes())

    def _shared_part_warnings(self) -> list[DataWarning]:
        """Warn about test images whose part is also in the training or the validation subset."""
        warnings = leakage_warnings(len(self.resolved_split.leaked_test_rows()), len(self.test))
        parts = self.resolved_split.parts.of_rows
        if leaked := len(self.resolved_split.split.leaked(parts, into=Subset.TEST, known=Subset.VALIDATION)):
            text = (
                f"{leaked} of {len(self.test)} test images show a part that thresholds were also chosen on: the rates "
                "of escapes and overkills at these thresholds are too low."
            )
            warnings.append(make_data_warning(WarningKind.CHOSEN_ON_TESTED, text))
        return warnings

    def _shared_file_warnings(self) -> list[DataWarning]:
        """Warn about identical image files in the training and the test subset."""
        return [
            make_data_warning(
                WarningKind.SHARED_FILES,
                f"{len(leaked)} of {len(self.test)} test rows have a {role} image that is identical to a training "
                "row's: the results are too optimistic.",
            )
            for role, hashes in self.rows.hashes().items()
            if (leaked := self.resolved_split.split.leaked(hashes, into=Subset.TEST))
        ]

    def _untested_label_warnings(self) -> list[DataWarning]:
        """Warn about labels that no test row has."""
        tested = {self.sheet.rows[row].label for row in self.test}
        return [
            make_data_warning(
                WarningKind.UNTESTED_LABEL,
                f"No test row is {label}, so the results say nothing about such parts; add images of more parts.",
            )
            for label in Label
            if label not in tested
        ]

    def _stretched_image_warnings(self) -> list[DataWarning]:
        """Warn about images whose proportions change when they are resized to a square."""
        infos = [self.rows.metadata[row.noisy].header for row in self.sheet.rows]
        count = sum(info is not None and info.width != info.height for info in infos)
        if not count:
            return []
        text = f"{count} of {len(infos)} noisy images are not square; they were resized to a square."
        return [make_data_warning(WarningKind.STRETCHED, text)]

    def _load_images(self, name: str, paths: Sequence[Path]) -> ImageCache:
        used_bytes = sum(cache.cached_bytes for cache in self._image_caches.values())
        with show_progress(self.console, f"Reading {name} images") as progress:
            cache = ImageCache(
                paths,
                size=self.recipe.input.size,
                channels=self.recipe.input.channels,
                budget=self.cache_bytes - used_bytes,
                progress=progress,
            )
        self._image_caches[name] = cache
        self.console.print(f"  {cache.description}", highlight=False, soft_wrap=True)
        return cache


def leakage_warnings(leaked: int, tested: int) -> list[DataWarning]:
    """Warn about test images whose part is also in the training subset, if there are any."""
    if not leaked:
        return []
    text = (
        f"{leaked} of {tested} test images show a part that was also trained on: the results measure memorisation as "
        "well as generalisation. Use --split grouped to test on new parts."
    )
    return [make_data_warning(WarningKind.SHARED_PARTS, text)]


def wrong_reference_warnings(rows: UsableRows) -> list[DataWarning]:
    """Warn about rows that were left out for a wrong reference, if there are any; too large a share is an error."""
    if not rows.wrong_references:
        return []
    text = (
        f"{format_count(rows.wrong_references, 'row')} had a reference that does not show the same as the noisy image, "
        "and were left out; some of the other references may also be wrong."
    )
    return [make_data_warning(WarningKind.WRONG_REFERENCE, text)]


def check_trainable(rows: UsableRows, resolved_split: ResolvedSplit, recipe: Recipe, stages: Sequence[Stage]) -> None:
    """Check that a split is fit for training, before a run is started or an older one deleted.

    Raises:
        SheetError: a class of one of the ``stages`` has no training row, there is only one class, the recipe needs
            validation rows for early stopping and there are none, or the split leaks (see
            ``ResolvedSplit.refuse_leaks``).
    """
    if (recipe.classifier.patience or recipe.denoiser.patience) and not resolved_split.split.rows(Subset.VALIDATION):
        raise SheetError(
            f"{rows.sheet.path}: recipe {recipe.name} needs validation rows for early stopping, but of "
            f"{len(rows.sheet.rows)} rows none is for validation; raise --validation-share, or remove patience from "
            "the recipe"
        )
    _refuse_missing_classes(rows.sheet, resolved_split.split, stages)
    resolved_split.refuse_leaks(rows.sheet.rows, rows.hashes())


def _refuse_missing_classes(sheet: Sheet, split: Split, stages: Sequence[Stage]) -> None:
    if set(stages) - {Stage.NOISE_TYPE, Stage.DENOISING}:
        _refuse_untrained_classes(make_label_targets(sheet), split, "label", sheet.path)
    if Stage.NOISE_TYPE in stages:
        _refuse_untrained_classes(make_noise_type_targets(sheet), split, "noise type", sheet.path)


def _refuse_untrained_classes(targets: ClassificationTargets, split: Split, what: str, sheet: Path) -> None:
    training = split.rows(Subset.TRAIN)
    trained = {targets.targets[row] for row in training}
    absent = [name for index, name in enumerate(targets.classes) if index not in trained]
    if absent or len(targets.classes) < 2:
        problem = f"no training row has the {what} {', '.join(absent)}" if absent else f"all rows have one {what}"
        raise SheetError(
            f"{sheet}: {problem} (of {len(targets.targets)} rows, {len(training)} are for training); expected several "
            f"rows of each of at least two; add such images, or with --stages run only stages that do not learn the "
            f"{what}"
        )
