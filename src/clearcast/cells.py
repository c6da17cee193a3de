r"""Protection against formula injection in tables that people open in a spreadsheet (CSV injection).

A spreadsheet evaluates a cell that begins with ``=``, ``+``, ``-`` or ``@``. File names and notes are untrusted input,
so an apostrophe is put before such a text, as spreadsheets themselves mark text. A reader that uses another separator
splits a text, so each piece after a semicolon, a tab, a vertical bar or a line break is treated as a beginning too.
White space and quotation marks before the sign are ignored, since some readers drop them. ``restore_cell`` is the exact
inverse of ``protect_cell`` for every text.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

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
