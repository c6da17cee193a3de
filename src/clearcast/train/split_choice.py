"""Split choice: the user's options for the split, and the split that they resolve to.

A split assigns each row to the train, validation or test subset. A run saves its split and is resumed with it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypedDict

from rich.console import Console

from clearcast.core.console import show_progress
from clearcast.core.errors import OutputError, RecipeError, SheetError
from clearcast.data.groups import detect_row_groups
from clearcast.data.groups.row_groups import GroupSource, RowParts, resolve_row_parts
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.data.splits import (
    Split,
    load_split,
    make_column_split,
    make_fold_split,
    make_grouped_split,
    make_random_split,
    reuse_saved_split,
    save_split,
)
from clearcast.data.validation import UsableRows
from clearcast.train.recipe import SplitShares
from clearcast.train.run_directory import RunDirectory, begin_run
from clearcast.types import Subset

_VALIDATION_SHARE = 0.15  # of the rows outside the test subset, if neither the user nor the recipe sets it


class SplitKind(StrEnum):
    """Kind of split: by whole parts; by rows at random, as published; from the sheet's column; from a saved file."""

    GROUPED = "grouped"
    RANDOM = "random"
    COLUMN = "column"
    FILE = "file"


class SplitFields(TypedDict):
    """The fields of a ``SplitChoice`` that one word sets."""

    kind: SplitKind | None
    file: Path | None


def parse_split_option(text: str) -> SplitFields:
    """Parse ``grouped``, ``random``, ``column``, the path of a saved split (.csv), or an empty text.

    Raises:
        RecipeError: none of these.
    """
    word = text.strip()
    if word.endswith(".csv"):
        return {"kind": SplitKind.FILE, "file": Path(word)}
    known = {kind.value: kind for kind in SplitKind if kind is not SplitKind.FILE}
    if word and word not in known:
        raise RecipeError(f"unknown split {word!r}; expected {', '.join(known)}, or the path of a split.csv")
    return {"kind": known.get(word), "file": None}


@dataclass(frozen=True, kw_only=True)
class SplitChoice:
    """The user's options for the split.

    ``kind`` None: by whole parts if a part has several rows, else at random. ``file``: a saved split, for kind FILE.
    ``groups``: see ``read_groups_file``. ``column``: the name of the sheet's split column, for messages.
    ``validation_share``: of the rows outside the test subset; None: the recipe's, or 15 %, or 0 for kind RANDOM, as
    published. ``folds``: above 1 for cross-validation, with a run for each fold; ``fold``: number of the fold, from 1,
    or None for all.

    Raises:
        RecipeError: options that contradict each other.
    """

    kind: SplitKind | None = None
    file: Path | None = None
    groups: Path | None = None
    column: str = "Split"
    validation_share: float | None = None
    folds: int = 1
    fold: int | None = None

    def __post_init__(self) -> None:
        if self.folds > 1 and self.kind in {SplitKind.COLUMN, SplitKind.FILE}:
            raise RecipeError(
                f"a split by {self.kind} has no folds; for {self.folds} folds use --split grouped or --split random"
            )
        if (self.file is None) != (self.kind is not SplitKind.FILE):
            raise RecipeError(f"a split by {self.kind} and the file {self.file} contradict each other")

    def configuration(self) -> dict[str, Any]:
        """Return the options that results depend on, ready for JSON."""
        return {
            "kind": self.kind and self.kind.value,
            "file_sha256": self.file and _sha256(self.file),
            "groups_sha256": self.groups and _sha256(self.groups),
            "column": self.column if self.kind is SplitKind.COLUMN else None,
            "validation_share": self.validation_share,
            "folds": self.folds,
            "fold": self.fold,
        }


@dataclass(frozen=True, kw_only=True)
class ResolvedSplit:
    """Resolved split: the subset of each row, the kind of the split, and the group (part) of each row."""

    split: Split
    kind: SplitKind
    parts: RowParts

    def refuse_leaks(self, rows: Sequence[SheetRow], hashes: Mapping[str, Sequence[str]]) -> None:
        """Check that a grouped split has no leakage; to be called before every training.

        Args:
            rows: the rows of the split.
            hashes: for each role (noisy, reference), the hash of each row's file.

        Raises:
            SheetError: a part, or an identical image file, is in two subsets of a split by whole parts.
        """
        if self.kind is not SplitKind.GROUPED:
            return
        shared: dict[str, list[Sequence[str]]] = {
            "a part": [self.parts.of_rows],
            "an identical image": list(hashes.values()),
        }
        for what, keys in shared.items():
            for into, known in (
                (Subset.TEST, Subset.TRAIN),
                (Subset.TEST, Subset.VALIDATION),
                (Subset.VALIDATION, Subset.TRAIN),
            ):
                if leaked := self.split.leaked(*keys, into=into, known=known):
                    raise SheetError(
                        f"{len(leaked)} {into} rows share {what} with {known} rows (first: row "
                        f"{rows[leaked[0]].number} of the sheet, group {self.parts.of_rows[leaked[0]]!r}), so the "
                        "split would leak; put rows with the same image into one group, or let 'clearcast check SHEET "
                        "--out DIR' find the groups"
                    )

    def leaked_test_rows(self) -> list[int]:
        """List the test rows whose group is also in the training subset."""
        return self.split.leaked(self.parts.of_rows, into=Subset.TEST)


def split_rows(sheet: Sheet, parts: RowParts, choice: SplitChoice, shares: SplitShares, *, seed: int) -> ResolvedSplit:
    """Split a sheet's rows as chosen.

    Raises:
        SheetError: there are too few rows or parts, or the column or file does not fit.
    """
    kind = choice.kind or (SplitKind.RANDOM if parts.independent and choice.folds == 1 else SplitKind.GROUPED)
    if kind is SplitKind.FILE and choice.file:
        split = reuse_saved_split(choice.file, sheet.rows)
    elif kind is SplitKind.COLUMN:
        split = make_column_split(sheet.rows, choice.column)
    else:
        split = _draw_split(sheet, parts, choice, kind, shares, seed)
    return ResolvedSplit(split=split, kind=kind, parts=parts)


def _draw_split(
    sheet: Sheet, parts: RowParts, choice: SplitChoice, kind: SplitKind, shares: SplitShares, seed: int
) -> Split:
    """Draw a split by groups or by rows, or one of its folds."""
    strata = [(row.label, row.noise_type) for row in sheet.rows]
    validation = _validation_share(choice, shares)
    if choice.fold is not None:
        rows = tuple(f"row {row.number}" for row in sheet.rows)
        split = make_fold_split(
            parts.of_rows if kind is SplitKind.GROUPED else rows,
            strata,
            folds=choice.folds,
            fold=choice.fold,
            validation_share=validation,
            seed=seed,
        )
        if kind is SplitKind.GROUPED:
            return split
        return replace(split, description=f"fold {choice.fold} of {choice.folds}, rows at random, seed {seed}")
    test = shares.test_share
    if kind is SplitKind.GROUPED:
        return make_grouped_split(parts.of_rows, strata, test_share=test, validation_share=validation, seed=seed)
    return make_random_split(strata, test_share=test, validation_share=validation, seed=seed)


def _validation_share(choice: SplitChoice, shares: SplitShares) -> float:
    share = choice.validation_share if choice.validation_share is not None else shares.validation_share
    if share is not None:
        return share
    return 0.0 if choice.kind is SplitKind.RANDOM else _VALIDATION_SHARE


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SheetError(f"{path}: cannot be read ({error.strerror}); expected a file of groups or a split") from None


def resolve_groups(rows: UsableRows, split: SplitChoice, console: Console) -> RowParts:
    """Determine the group (part) of each row: from the user's file, the saved split or the sheet, or by searching.

    Searching compares all images, which takes a while.
    """
    if split.file and not split.groups:
        return RowParts(of_rows=load_split(split.file, rows.sheet.rows)[1], source=GroupSource.SPLIT)

    def detect() -> tuple[str, ...]:
        with show_progress(console, "Looking for images of the same part") as progress:
            return detect_row_groups(rows.sheet, rows.metadata, progress=progress).of_rows

    return resolve_row_parts(rows.sheet, split.groups, detect)


def resolve_split(
    folder: RunDirectory | None,
    rows: UsableRows,
    split: SplitChoice,
    shares: SplitShares,
    *,
    seed: int,
    console: Console,
) -> ResolvedSplit:
    """Read the split that a run was started with, or make a new one."""
    if folder is not None and folder.split.exists():
        return _load_saved_split(folder, rows)
    return split_rows(rows.sheet, resolve_groups(rows, split, console), split, shares, seed=seed)


def begin_split_run(
    path: Path, configuration: dict[str, Any], rows: UsableRows, resolved: ResolvedSplit, **metadata: str
) -> RunDirectory:
    """Start a run that ``open_run`` allowed, and save its split."""
    described = {
        "split": resolved.split.description,
        "split_kind": resolved.kind.value,
        "parts_source": resolved.parts.source.value,
        "split_sha256": _split_hash(resolved.split, resolved.parts.of_rows),
    }
    folder = begin_run(path, configuration, **metadata, **described)
    save_split(resolved.split, rows.sheet.rows, resolved.parts.of_rows, folder.split, hashes=rows.hashes()["noisy"])
    return folder


def _load_saved_split(folder: RunDirectory, rows: UsableRows) -> ResolvedSplit:
    split, of_rows = load_split(folder.split, rows.sheet.rows)
    if _split_hash(split, of_rows) != folder.metadata.get("split_sha256"):
        raise OutputError(
            f"{folder.split} was changed after the run was started, and the run's results depend on it; restore it, or "
            f"start another run with --split {folder.split.name} from a copy of it"
        )
    return ResolvedSplit(
        split=replace(split, description=folder.metadata["split"]),
        kind=SplitKind(folder.metadata["split_kind"]),
        parts=RowParts(of_rows=of_rows, source=GroupSource(folder.metadata["parts_source"])),
    )


def _split_hash(split: Split, parts: tuple[str, ...]) -> str:
    return hashlib.sha256(repr(([subset.value for subset in split.subsets], parts)).encode()).hexdigest()
