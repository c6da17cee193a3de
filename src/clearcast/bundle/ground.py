"""What a bundle is trained on: the rows that can be used, how they are divided, and their pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console

from clearcast.bundle.request import TrainRequest
from clearcast.bundle.sizes import refuse_tiny
from clearcast.data.sheet import Row, Sheet
from clearcast.data.usable import Rows, usable
from clearcast.domain import NoiseType, Subset
from clearcast.errors import OutputError, SheetError
from clearcast.evaluation.study.beginning import begin_divided, division_of
from clearcast.evaluation.study.dividing import Division
from clearcast.evaluation.study.folder import RunFolder, open_run
from clearcast.imaging import Channels
from clearcast.progress import progress_bar
from clearcast.runtime.manifest import MANIFEST, TrainedOn
from clearcast.training.clear.gallery import Gallery, Pair, channels_of, pairs_of
from clearcast.training.recipe import SplitShares

SHARES = SplitShares(test_share=0.2, validation_share=0.0)  # thresholds are chosen by cross-fitting
_WATCHED = 64  # validation rows that show how the fitting goes


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The usable rows of a sheet, how they are divided, and where what is made of them is kept."""

    folder: RunFolder
    rows: Rows
    division: Division

    @cached_property
    def channels(self) -> Channels:
        """Grey, if the noise-free pictures look grey; of rows without one, the noisy."""
        return channels_of([self.rows.sheet.resolve(row.reference or row.noisy) for row in self.rows.sheet.rows])

    def indices(self, subset: Subset) -> list[int]:
        """Places of a subset's rows among the usable ones."""
        return self.division.split.rows(subset)

    def chosen(self, subset: Subset) -> list[Row]:
        """A subset's rows."""
        return [self.rows.sheet.rows[index] for index in self.indices(subset)]

    def parts(self, subset: Subset) -> list[str]:
        """The part that each of a subset's rows shows."""
        return [self.division.parts.of_rows[index] for index in self.indices(subset)]

    def pairs(self, rows: Sequence[Row]) -> list[Pair]:
        """The pictures of some rows."""
        return pairs_of(self.rows.sheet, rows)

    @property
    def tests_no_noise(self) -> bool:
        """Whether no test row is noisy, so that they alone say nothing about removing noise."""
        return all(row.noise_type is NoiseType.NONE for row in self.chosen(Subset.TEST))

    def galleries(self, console: Console) -> tuple[Gallery, Gallery]:
        """What to learn from, and pictures that show how it goes: of validation rows, where there are any."""
        training = self._gallery(self.chosen(Subset.TRAIN), None, console)
        if training.kept < len(training):
            console.print(
                f"  {training.kept} of {len(training)} pictures are kept in memory; the others are read at each use",
                highlight=False,
            )
        validation = [row for row in self.chosen(Subset.VALIDATION) if row.reference][:_WATCHED]
        return training, self._gallery(validation, training.shape, console) if validation else training

    def described(self, training: Gallery) -> TrainedOn:
        """For the manifest."""
        return {
            "sheet": self.rows.sheet.path.name,
            "sheet_sha256": self.rows.sheet.sha256,
            "rows": {subset.value: len(self.indices(subset)) for subset in Subset},
            "split": self.division.split.description,
            "parts": self.division.parts.count,
            "parts_source": self.division.parts.source.value,
            "channels": self.channels.value,
            "shape": list(training.shape),
        }

    def _gallery(self, rows: Sequence[Row], shape: tuple[int, int] | None, console: Console) -> Gallery:
        with progress_bar(console, "Reading pictures") as progress:
            return Gallery(self.pairs(rows), self.channels, shape=shape, progress=progress)


def begin(request: TrainRequest) -> Ground:
    """Divide the rows, or go on with a training where it was stopped.

    Raises:
        ClearcastError: the sheet or the folder does not allow it, or there is a whole bundle already.
    """
    question = request.question()
    if not request.force and (request.out / MANIFEST).exists():
        raise OutputError(
            f"{request.out} is a whole bundle already; train another with another --out, or delete it and start by "
            "--force"
        )
    folder = open_run(request.out, question, resume=request.resume, force=request.force)
    rows = usable(request.sheet, skip_bad=request.skip_bad, console=request.console, paired=False)
    refuse_tiny(rows)
    division = division_of(folder, rows, request.split, SHARES, seed=request.seed, console=request.console)
    division.refuse_leaks(rows.sheet.rows, rows.hashes())
    if not division.split.rows(Subset.TRAIN) or not division.split.rows(Subset.TEST):
        count = len(rows.sheet.rows)
        raise SheetError(f"{request.sheet.path}: {count} rows are too few to train on some and test others; add some")
    if folder is None or not folder.split.exists():
        folder = begin_divided(request.out, question, rows, division, **_where(request.sheet))
    return Ground(folder=folder, rows=rows, division=division)


def _where(sheet: Sheet) -> dict[str, str]:
    """Where the sheet and its pictures are, for whoever needs them again."""
    return {"sheet": str(sheet.path.absolute()), "root": str(sheet.root.absolute())}
