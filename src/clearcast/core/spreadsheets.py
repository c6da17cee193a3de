r"""Protection against formula injection in tables that people open in a spreadsheet (CSV injection).

A spreadsheet evaluates a cell that begins with ``=``, ``+``, ``-`` or ``@``. File names and notes are untrusted input,
so an apostrophe is put before such a text, as spreadsheets themselves mark text. A reader that uses another separator
splits a text, so each piece after a semicolon, a tab, a vertical bar or a line break is treated as a beginning too.
White space and quotation marks before the sign are ignored, since some readers drop them. ``restore_cell`` is the exact
inverse of ``protect_cell`` for every text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.utils.exceptions import IllegalCharacterError

from clearcast.core.errors import OutputError
from clearcast.core.files import replace_file

if TYPE_CHECKING:
    import pandas as pd


_SIGNS = "=+\\-@＝＋－＠"  # full-width ones too: some spreadsheets evaluate them
_SEPARATORS = ";|\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_EVALUATED = rf"""(?=[\s"']*[{_SIGNS}])"""
_BLANK = r"(?='*[\t\r\n])"  # at the beginning of the text: some readers drop it
_INSERTION_POINT = re.compile(rf"\A(?:{_EVALUATED}|{_BLANK})|(?<=[{_SEPARATORS}]){_EVALUATED}")
_MARKED = re.compile(rf"\A'(?:{_EVALUATED}|{_BLANK})|(?<=[{_SEPARATORS}])'{_EVALUATED}")


def protect_cell(text: str) -> str:
    r"""Insert an apostrophe wherever a spreadsheet might evaluate the text as a formula.

    >>> protect_cell("=1+1.jpg"), protect_cell("seen; =1+1"), protect_cell("'=1"), protect_cell("part-1.jpg")
    ("'=1+1.jpg", "seen;' =1+1", "''=1", 'part-1.jpg')
    """
    return _INSERTION_POINT.sub("'", text)


def restore_cell(text: str) -> str:
    """Remove the apostrophes that ``protect_cell`` inserted; a text without them does not change.

    >>> restore_cell("'=1+1.jpg"), restore_cell("''=1"), restore_cell("=1"), restore_cell("'quoted'")
    ('=1+1.jpg', "'=1", '=1', "'quoted'")
    """
    return _MARKED.sub("", text)


def protect_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a copy of a table with ``protect_cell`` applied to its texts; numbers do not change."""
    return _map_texts(table, protect_cell)


def restore_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a copy of a table with ``restore_cell`` applied to its texts: the inverse of ``protect_table``."""
    return _map_texts(table, restore_cell)


def _map_texts(table: "pd.DataFrame", change: Callable[[str], str]) -> "pd.DataFrame":
    changed = table.copy()
    for name, column in table.items():
        if column.dtype.kind == "O":  # texts, possibly with missing values
            changed[name] = column.map(lambda value: change(value) if isinstance(value, str) else value)
    return changed


def write_text_workbook(path: Path, title: str, columns: Mapping[str, Sequence[str]]) -> None:
    """Write columns of the same length to the only worksheet of a new .xlsx file, atomically.

    Raises:
        OutputError: a text has characters that a workbook cannot store.
        OSError: the file cannot be written.
    """
    workbook = Workbook()
    sheet = workbook.active
    sheet.title = title
    for row, texts in enumerate([tuple(columns), *zip(*columns.values(), strict=True)], start=1):
        for column, text in enumerate(texts, start=1):
            _set_text(sheet.cell(row, column), text, path)
    with replace_file(path) as temporary:
        workbook.save(temporary)


def _set_text(cell: Cell, text: str, path: Path) -> None:
    try:
        text.encode()
        cell.value = text
    except (IllegalCharacterError, UnicodeEncodeError):
        raise OutputError(
            f"{path}: {text!r} has characters that a workbook cannot store; rename it and write the workbook again"
        ) from None
    if text:
        cell.data_type = "s"  # not a formula, a number or a date
        cell.quotePrefix = True  # keeps it a text when somebody edits it
