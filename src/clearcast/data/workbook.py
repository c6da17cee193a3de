"""Writer for workbooks in which every cell is text, so that nothing is evaluated as a formula."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.utils.exceptions import IllegalCharacterError

from clearcast.errors import OutputError
from clearcast.files import replace_file


def write_workbook(path: Path, title: str, columns: Mapping[str, Sequence[str]]) -> None:
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
