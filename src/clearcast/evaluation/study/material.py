"""What all stages of a study share: the rows, the split, and the pictures in memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rich.console import Console

from clearcast.data.frames import ClassFrame, label_frame, noise_frame, pair_frame
from clearcast.data.pictures import PictureStore
from clearcast.data.sheet import Sheet
from clearcast.data.split import Split
from clearcast.data.usable import Rows
from clearcast.domain import Label, Subset
from clearcast.errors import SheetError
from clearcast.evaluation.data_warnings import DataWarning, WarningKind, data_warning
from clearcast.evaluation.evidence.words import counted
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.dividing import Division
from clearcast.evaluation.study.folder import RunFolder
from clearcast.progress import progress_bar
from clearcast.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Material:
    """The rows of a study, how they are divided, and their pictures, decoded when first asked for."""

    rows: Rows
    division: Division
    recipe: Recipe
    folder: RunFolder
    cache_bytes: int
    console: Console
    _stores: dict[str, PictureStore] = field(default_factory=dict)

    @property
    def sheet(self) -> Sheet:
        """The sheet with the rows that can be used."""
        return self.rows.sheet

    @cached_property
    def noisy(self) -> PictureStore:
        """The noisy pictures."""
        return self._store("noisy", label_frame(self.sheet).images)

    @cached_property
    def references(self) -> PictureStore:
        """The noise-free pictures."""
        return self._store("reference", pair_frame(self.sheet).references)

    @cached_property
    def denoised(self) -> PictureStore:
        """What stage 3 made of the noisy pictures."""
        return self._store("denoised", [self.folder.denoised(row.number, row.noisy) for row in self.sheet.rows])

    @property
    def train(self) -> list[int]:
        """Indices of the rows to fit to."""
        return self.division.split.rows(Subset.TRAIN)

    @property
    def heldout(self) -> list[int]:
        """Indices of the rows measured after each epoch: those for validation, or where there are none, the test's."""
        return self.validation or self.test

    @property
    def validation(self) -> list[int]:
        """Indices of the rows that choose; there may be none."""
        return self.division.split.rows(Subset.VALIDATION)

    @property
    def test(self) -> list[int]:
        """Indices of the rows to report on."""
        return self.division.split.rows(Subset.TEST)

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Rows by subset, and in it by label and by noise type."""
        return {
            subset.value: {
                "label": dict(Counter(str(self.sheet.rows[row].label) for row in rows)),
                "noise": dict(Counter(str(self.sheet.rows[row].noise_type) for row in rows)),
            }
            for subset in Subset
            if (rows := self.division.split.rows(subset))
        }

    def warnings(self) -> list[DataWarning]:
        """What a reader of the results should know about the data."""
        return [
            *wrong_reference_warnings(self.rows),
            *self._shared_parts(),
            *self._shared_files(),
            *self._one_sided(),
            *self._stretched(),
        ]

    def refuse_leaks(self) -> None:
        """See ``Division.refuse_leaks``."""
        self.division.refuse_leaks(self.sheet.rows, self.rows.hashes())

    def _shared_parts(self) -> list[DataWarning]:
        told = shared_parts_warnings(len(self.division.leaked_test_rows()), len(self.test))
        parts = self.division.parts.of_rows
        if chosen_by := len(self.division.split.leaked(parts, into=Subset.TEST, known=Subset.VALIDATION)):
            text = (
                f"{chosen_by} of {len(self.test)} test images show a part that thresholds were chosen on too: escapes "
                "and overkills at these thresholds are too few."
            )
            told.append(data_warning(WarningKind.CHOSEN_ON_TESTED, text))
        return told

    def _shared_files(self) -> list[DataWarning]:
        """Pictures that are the same, byte for byte, in training and in testing."""
        return [
            data_warning(
                WarningKind.SHARED_FILES,
                f"{len(leaked)} of {len(self.test)} test rows have a {role} picture that, byte for byte, is also a "
                "training row's: the figures are too good by what was learned from them.",
            )
            for role, hashes in self.rows.hashes().items()
            if (leaked := self.division.split.leaked(hashes, into=Subset.TEST))
        ]

    def _one_sided(self) -> list[DataWarning]:
        """Labels that no test row has."""
        tested = {self.sheet.rows[row].label for row in self.test}
        return [
            data_warning(
                WarningKind.UNTESTED_LABEL,
                f"No test row is {label}, so that nothing is known about such parts; take pictures of more parts.",
            )
            for label in Label
            if label not in tested
        ]

    def _stretched(self) -> list[DataWarning]:
        infos = [self.rows.facts[row.noisy].info for row in self.sheet.rows]
        uneven = sum(info is not None and info.width != info.height for info in infos)
        if not uneven:
            return []
        text = f"{uneven} of {len(infos)} noisy pictures are not square; they were squeezed to a square."
        return [data_warning(WarningKind.STRETCHED, text)]

    def _store(self, name: str, paths: Sequence[Path]) -> PictureStore:
        taken = sum(store.cached_bytes for store in self._stores.values())
        with progress_bar(self.console, f"Reading {name} pictures") as progress:
            store = PictureStore(
                paths,
                size=self.recipe.input.size,
                channels=self.recipe.input.channels,
                budget=self.cache_bytes - taken,
                progress=progress,
            )
        self._stores[name] = store
        self.console.print(f"  {store.description}", highlight=False, soft_wrap=True)
        return store


def shared_parts_warnings(leaked: int, tested: int) -> list[DataWarning]:
    """What to say of test images whose part was also trained on; nothing where there are none."""
    if not leaked:
        return []
    text = (
        f"{leaked} of {tested} test images show a part that was also trained on: the figures measure memory as well as "
        "skill. Measure on parts never seen with --split grouped."
    )
    return [data_warning(WarningKind.SHARED_PARTS, text)]


def wrong_reference_warnings(rows: Rows) -> list[DataWarning]:
    """What to say where rows were left out for their references; the share that is wrong is small, or nothing runs."""
    if not rows.wrong_references:
        return []
    text = (
        f"{counted(rows.wrong_references, 'row')} named a reference that is not what the noisy picture shows, and were "
        "left out; of the others some may be wrong unnoticed."
    )
    return [data_warning(WarningKind.WRONG_REFERENCE, text)]


def refuse_unfit(rows: Rows, division: Division, recipe: Recipe, stages: Sequence[Stage]) -> None:
    """Make sure that rows so divided can be learned from, before a run is begun or an older one deleted.

    Raises:
        SheetError: a class that one of ``stages`` learns has no row to train on, there is one class only, the recipe
            stops early by validation rows of which there are none, or the split leaks (see ``Division.refuse_leaks``).
    """
    if (recipe.classifier.patience or recipe.denoiser.patience) and not division.split.rows(Subset.VALIDATION):
        raise SheetError(
            f"{rows.sheet.path}: recipe {recipe.name} stops early by validation rows, but of {len(rows.sheet.rows)} "
            "rows none is for validation; raise --validation-share, or remove patience from the recipe"
        )
    _refuse_untaught(rows.sheet, division.split, stages)
    division.refuse_leaks(rows.sheet.rows, rows.hashes())


def _refuse_untaught(sheet: Sheet, split: Split, stages: Sequence[Stage]) -> None:
    if set(stages) - {Stage.NOISE_TYPE, Stage.DENOISING}:
        _refuse_untrained_classes(label_frame(sheet), split, "label", sheet.path)
    if Stage.NOISE_TYPE in stages:
        _refuse_untrained_classes(noise_frame(sheet), split, "noise type", sheet.path)


def _refuse_untrained_classes(frame: ClassFrame, split: Split, what: str, sheet: Path) -> None:
    training = split.rows(Subset.TRAIN)
    trained = {frame.targets[row] for row in training}
    absent = [name for index, name in enumerate(frame.classes) if index not in trained]
    if absent or len(frame.classes) < 2:
        came = f"no training row has the {what} {', '.join(absent)}" if absent else f"all rows have one {what}"
        raise SheetError(
            f"{sheet}: {came} (of {len(frame.targets)} rows, {len(training)} train); needed are several rows of each "
            f"of at least two; add such pictures, or run only the stages that do not learn the {what} with --stages"
        )
