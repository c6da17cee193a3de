"""The groups of a sheet's rows: as a file or the sheet's own column says, or found in the images."""

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
_SHOWN = 5  # rows that a message names


class GroupSource(StrEnum):
    """Where it is known from which rows show one part."""

    FILE = "file"
    COLUMN = "column"
    FOUND = "found"
    SPLIT = "split"  # a saved split lists them


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The part that each row shows, in the order of the sheet, and where that is known from."""

    of_rows: tuple[str, ...]
    source: GroupSource

    @property
    def count(self) -> int:
        """How many distinct parts there are."""
        return len(set(self.of_rows))

    @property
    def independent(self) -> bool:
        """Whether no part is shown twice."""
        return self.count == len(self.of_rows)


def known_parts(sheet: Sheet, file: Path | None, find: Callable[[], tuple[str, ...]]) -> Parts:
    """The parts by the user's file; without one by the sheet's group column; without that by looking for them.

    Args:
        sheet: the rows; where the column has no entry, the row is a part of its own.
        file: see ``read_groups``.
        find: looks for groups in the images, which takes long.

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
    """The group of each row by a table with the columns ``path`` and ``group``, as ``check`` writes it.

    A row is looked up by its reference or by its noisy image; one of them is enough.

    Raises:
        SheetError: no such file, not a table, a column is missing, a row's images are not in it, have no group, or
            are listed in two groups.
    """
    listed = _listed(file)
    groups = [_group(row, listed) for row in sheet.rows]
    unknown = [row for row, found in zip(sheet.rows, groups, strict=True) if len(found) != 1]
    if unknown:
        named = "\n  ".join(
            f"row {row.number} ({row.noisy}): {' and '.join(sorted(_group(row, listed))) or 'not listed'}"
            for row in unknown[:_SHOWN]
        )
        more = f"\n  and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise SheetError(
            f"{file}: {len(unknown)} of {len(groups)} rows of {sheet.path} have no group or two:\n  {named}{more}\n"
            "Needed is one group for each row, by the path of its noisy or its reference image; mend the file, or "
            "let 'clearcast check SHEET --out DIR' write a new one."
        )
    return tuple(next(iter(found)) for found in groups)


def _group(row: Row, listed: dict[str, set[str]]) -> set[str]:
    return listed.get(row.reference, set()) | listed.get(row.noisy, set())


def _listed(file: Path) -> dict[str, set[str]]:
    if not file.is_file():
        raise SheetError(f"{file}: no such file; needed is a table with the columns {' and '.join(_COLUMNS)}")
    table = read_table(file, _COLUMNS, hint=f"; needed are {' and '.join(_COLUMNS)}")
    listed: dict[str, set[str]] = {}
    for line in table.lines:
        path, group = map(restore_cell, line.cells)
        if path and group:
            listed.setdefault(posixpath.normpath(path.replace("\\", "/")), set()).add(group)
    return listed
