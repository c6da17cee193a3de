"""Prepare a run: split the rows of a sheet once, and keep the split in the run directory."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from clearcast.data.groups import group_rows
from clearcast.data.groups.given import GroupSource, Parts, known_parts
from clearcast.data.split import Split, load_split, save_split
from clearcast.data.usable import Rows
from clearcast.errors import OutputError
from clearcast.evaluation.study.dividing import Division, SplitChoice, SplitKind, divide
from clearcast.evaluation.study.folder import RunFolder, begin_run
from clearcast.progress import progress_bar
from clearcast.training.recipe import SplitShares


def parts_of(rows: Rows, split: SplitChoice, console: Console) -> Parts:
    """Determine the group (part) of each row: from the user's file, the saved split or the sheet, or by searching.

    Searching compares all images, which takes a while.
    """
    if split.file and not split.groups:
        return Parts(of_rows=load_split(split.file, rows.sheet.rows)[1], source=GroupSource.SPLIT)

    def find() -> tuple[str, ...]:
        with progress_bar(console, "Looking for images of the same part") as progress:
            return group_rows(rows.sheet, rows.facts, progress=progress)

    return known_parts(rows.sheet, split.groups, find)


def division_of(
    folder: RunFolder | None, rows: Rows, split: SplitChoice, shares: SplitShares, *, seed: int, console: Console
) -> Division:
    """Read the split that a run was started with, or make a new one."""
    if folder is not None and folder.split.exists():
        return _saved_division(folder, rows)
    return divide(rows.sheet, parts_of(rows, split, console), split, shares, seed=seed)


def begin_divided(path: Path, question: dict[str, Any], rows: Rows, division: Division, **metadata: str) -> RunFolder:
    """Start a run that ``open_run`` allowed, and save its split."""
    described = {
        "split": division.split.description,
        "split_kind": division.kind.value,
        "parts_source": division.parts.source.value,
        "split_sha256": _split_hash(division.split, division.parts.of_rows),
    }
    folder = begin_run(path, question, **metadata, **described)
    save_split(division.split, rows.sheet.rows, division.parts.of_rows, folder.split, hashes=rows.hashes()["noisy"])
    return folder


def _saved_division(folder: RunFolder, rows: Rows) -> Division:
    split, of_rows = load_split(folder.split, rows.sheet.rows)
    if _split_hash(split, of_rows) != folder.metadata.get("split_sha256"):
        raise OutputError(
            f"{folder.split} was changed after the run was started, and the run's results depend on it; restore it, or "
            f"start another run with --split {folder.split.name} from a copy of it"
        )
    return Division(
        split=replace(split, description=folder.metadata["split"]),
        kind=SplitKind(folder.metadata["split_kind"]),
        parts=Parts(of_rows=of_rows, source=GroupSource(folder.metadata["parts_source"])),
    )


def _split_hash(split: Split, parts: tuple[str, ...]) -> str:
    return hashlib.sha256(repr(([subset.value for subset in split.subsets], parts)).encode()).hexdigest()
