"""Sources of a sheet's groups: a file, the sheet's group column, or detection in the images."""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from clearcast.cells import restore_cell
from clearcast.data.sheet import Row, Sheet
from clearcast.data.table import read_table
from clearcast.errors import SheetError

_COLUMNS = ("path", "group")
_SHOWN = 5  # rows that a message lists


class GroupSource(StrEnum):
    """Source of the groups."""

    FILE = "file"
    COLUMN = "column"
    FOUND = "found"
    SPLIT = "split"  # from a saved split


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The part of each row, in the order of the sheet, and the source of this information."""

    of_rows: tuple[str, ...]
    source: GroupSource

    @property
    def count(self) -> int:
        """Number of distinct parts."""
        return len(set(self.of_rows))

    @property
    def independent(self) -> bool:
        """Whether no part occurs twice."""
        return self.count == len(self.of_rows)


def known_parts(sheet: Sheet, file: Path | None, find: Callable[[], tuple[str, ...]]) -> Parts:
    """Return the parts from the user's file, else from the sheet's group column, else by group detection.

    Args:
        sheet: the sheet; a row with an empty cell in the group column is a separate part.
        file: see ``read_groups``.
        find: runs the group detection, which takes long.

    Raises:
        SheetError: see ``read_groups``.
    """
    if file is not None:
        return Parts(of_rows=read_groups(file, sheet), source=GroupSource.FILE)
    if any(row.group for row in sheet.rows):
        own = tuple(row.group or f"row {row.number}" for row in sheet.rows)
        return Parts(of_rows=own, source=GroupSource.COLUMN)
    return Parts(of_rows=find(), source=GroupSource.FOUND)


def read_groups(file: Path, sheet: Sheet) -> tuple[str, ...]:
    """Read the group of each row from a table with the columns ``path`` and ``group``, as ``check`` writes it.

    Either the reference or the noisy image of a row must be listed.

    Raises:
        SheetError: the file is missing, not a table or lacks a column, or a row's images are not listed, or listed in
            two groups.
    """
    by_path = _read_table(file)
    groups = [_groups_of(row, by_path) for row in sheet.rows]
    unknown = [row for row, found in zip(sheet.rows, groups, strict=True) if len(found) != 1]
    if unknown:
        named = "\n  ".join(
            f"row {row.number} ({row.noisy}): {' and '.join(sorted(_groups_of(row, by_path))) or 'not listed'}"
            for row in unknown[:_SHOWN]
        )
        more = f"\n  and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise SheetError(
            f"{file}: {len(unknown)} of {len(groups)} rows of {sheet.path} have no group or two:\n  {named}{more}\n"
            "Expected one group per row, by the path of its noisy or its reference image; correct the file, or write a "
            "new one with 'clearcast check SHEET --out DIR'."
        )
    return tuple(next(iter(found)) for found in groups)


def _groups_of(row: Row, by_path: dict[str, set[str]]) -> set[str]:
    return by_path.get(row.reference, set()) | by_path.get(row.noisy, set())


def _read_table(file: Path) -> dict[str, set[str]]:
    if not file.is_file():
        raise SheetError(f"{file}: no such file; expected a table with the columns {' and '.join(_COLUMNS)}")
    table = read_table(file, _COLUMNS, hint=f"; expected the columns {' and '.join(_COLUMNS)}")
    by_path: dict[str, set[str]] = {}
    for line in table.lines:
        path, group = map(restore_cell, line.cells)
        if path and group:
            by_path.setdefault(posixpath.normpath(path.replace("\\", "/")), set()).add(group)
    return by_path
