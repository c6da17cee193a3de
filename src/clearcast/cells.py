r"""Texts in tables that people open in a spreadsheet: no text may begin a cell that is computed.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-`` or ``@``. Names of pictures, notes and the like come
from anybody, so a text that could begin so gets an apostrophe before it, as spreadsheets themselves mark text. One that
is read with another separator than it was written with is cut within: so every piece after a semicolon, a tab, a
vertical bar or a line's end is looked at like the text's beginning. White space and quotation marks before the sign are
passed over, as some readers drop them. ``restore_cell`` gives back what ``protect_cell`` was given, whatever it was.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_SIGNS = "=+\\-@＝＋－＠"  # the wide ones too: some spreadsheets take them for the others
_CUTS = ";|\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_COMPUTED = rf"""(?=[\s"']*[{_SIGNS}])"""
_BLANK = r"(?='*[\t\r\n])"  # at the very beginning: some readers drop it
_PLACE = re.compile(rf"\A(?:{_COMPUTED}|{_BLANK})|(?<=[{_CUTS}]){_COMPUTED}")
_MARKED = re.compile(rf"\A'(?:{_COMPUTED}|{_BLANK})|(?<=[{_CUTS}])'{_COMPUTED}")


def protect_cell(text: str) -> str:
    r"""The text with an apostrophe wherever a spreadsheet might begin to compute.

    >>> protect_cell("=1+1.jpg"), protect_cell("seen; =1+1"), protect_cell("'=1"), protect_cell("part-1.jpg")
    ("'=1+1.jpg", "seen;' =1+1", "''=1", 'part-1.jpg')
    """
    return _PLACE.sub("'", text)


def restore_cell(text: str) -> str:
    """The text that ``protect_cell`` was given; one that it was never given and has no such apostrophe stays as it is.

    >>> restore_cell("'=1+1.jpg"), restore_cell("''=1"), restore_cell("=1"), restore_cell("'quoted'")
    ('=1+1.jpg', "'=1", '=1', "'quoted'")
    """
    return _MARKED.sub("", text)


def protect_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """A copy of a table whose texts are protected; numbers stay as they are."""
    return _with_texts(table, protect_cell)


def restore_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """A copy of a table that was read, with its texts as they were before ``protect_table``."""
    return _with_texts(table, restore_cell)


def _with_texts(table: "pd.DataFrame", change: Callable[[str], str]) -> "pd.DataFrame":
    changed = table.copy()
    for name, column in table.items():
        if column.dtype.kind == "O":  # texts, maybe with empty cells among them
            changed[name] = column.map(lambda value: change(value) if isinstance(value, str) else value)
    return changed
