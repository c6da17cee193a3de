"""How anything that learns from a sheet begins: its rows divided once, and kept in its folder."""

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
    """The part that each row shows: by the user's file, the saved split or the sheet, or found, which takes a while."""
    if split.file and not split.groups:
        return Parts(of_rows=load_split(split.file, rows.sheet.rows)[1], source=GroupSource.SPLIT)

    def find() -> tuple[str, ...]:
        with progress_bar(console, "Looking for pictures of one part") as progress:
            return group_rows(rows.sheet, rows.facts, progress=progress)

    return known_parts(rows.sheet, split.groups, find)


def division_of(
    folder: RunFolder | None, rows: Rows, split: SplitChoice, shares: SplitShares, *, seed: int, console: Console
) -> Division:
    """The division that a run was begun with, or where there is none, a new one."""
    if folder is not None and folder.split.exists():
        return _known_division(folder, rows)
    return divide(rows.sheet, parts_of(rows, split, console), split, shares, seed=seed)


def begin_divided(path: Path, question: dict[str, Any], rows: Rows, division: Division, **about: str) -> RunFolder:
    """Begin a run where ``open_run`` allowed it, and keep how its rows are divided."""
    described = {
        "split": division.split.description,
        "split_kind": division.kind.value,
        "parts_source": division.parts.source.value,
        "split_sha256": _fingerprint(division.split, division.parts.of_rows),
    }
    folder = begin_run(path, question, **about, **described)
    save_split(division.split, rows.sheet.rows, division.parts.of_rows, folder.split, hashes=rows.hashes()["noisy"])
    return folder


def _known_division(folder: RunFolder, rows: Rows) -> Division:
    split, of_rows = load_split(folder.split, rows.sheet.rows)
    if _fingerprint(split, of_rows) != folder.about.get("split_sha256"):
        raise OutputError(
            f"{folder.split} was changed after the run was begun, whose results follow from it; put it back, or begin "
            f"another run with --split {folder.split.name} from a copy of it"
        )
    return Division(
        split=replace(split, description=folder.about["split"]),
        kind=SplitKind(folder.about["split_kind"]),
        parts=Parts(of_rows=of_rows, source=GroupSource(folder.about["parts_source"])),
    )


def _fingerprint(split: Split, parts: tuple[str, ...]) -> str:
    return hashlib.sha256(repr(([subset.value for subset in split.subsets], parts)).encode()).hexdigest()
