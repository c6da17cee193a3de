"""Reader for workbooks of Excel 97 to 2003 (.xls), in pure Python: damaged files cannot crash the process."""

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import xlrd

from clearcast.data.readers import grid
from clearcast.data.readers.grid import NO_CELL_FAULTS, CellGrid, GridRow, MergedCells, format_number_cell

_EMPTY = (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK)
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


@contextmanager
def open_xls(path: Path) -> Iterator[list[CellGrid]]:
    """Open the worksheets of a workbook.

    Raises:
        SheetError: the workbook is encrypted or too large.
        Exception: the workbook is damaged.
    """
    grid.require_file_size(path, grid.MAX_XLS_BYTES)
    options = {"logfile": io.StringIO(), "on_demand": True, "ragged_rows": True}
    try:
        book = xlrd.open_workbook(str(path), formatting_info=True, **options)
    except xlrd.XLRDError:
        raise
    except Exception:  # formats are only used for hidden and merged cells: ignore damage in them
        book = xlrd.open_workbook(str(path), **options)
    with book:
        yield [_Worksheet(book, index) for index in range(book.nsheets)]


def is_encrypted_package(path: Path) -> bool:
    """Whether an OLE file is a password-protected .xlsx workbook."""
    with path.open("rb") as file:
        return _ENCRYPTED in file.read(grid.MAX_SMALL_PART_BYTES)


class _Worksheet(CellGrid):
    def __init__(self, book: xlrd.Book, index: int) -> None:
        super().__init__(book.sheet_names()[index], visible=not book._sheet_visibility[index])
        self._book = book
        self._index = index

    def rows(self, columns: Collection[int] | None = None) -> Iterator[GridRow]:
        sheet = self._book.sheet_by_index(self._index)
        self.merged = [MergedCells(top + 1, left, bottom, right - 1) for top, bottom, left, right in sheet.merged_cells]
        self.hidden_columns = {index for index, info in sheet.colinfo_map.items() if info.hidden}
        for index in range(sheet.nrows):
            cells: dict[int, str] = {}
            faults: dict[int, str] = {}
            has_others = False
            for column, cell in enumerate(sheet.row(index)):
                if columns is not None and column not in columns:
                    has_others = has_others or cell.ctype not in _EMPTY
                elif cell.ctype == xlrd.XL_CELL_ERROR:
                    error = xlrd.error_text_from_code.get(cell.value, cell.value)
                    faults[column] = f"has the error {error}; correct its formula"
                elif text := self._text(cell):
                    cells[column] = text
            if cells or faults or has_others:
                info = sheet.rowinfo_map.get(index)
                yield GridRow(index + 1, cells, faults or NO_CELL_FAULTS, bool(info and info.hidden))

    def _text(self, cell: xlrd.sheet.Cell) -> str:
        if cell.ctype in _EMPTY:
            return ""
        if cell.ctype == xlrd.XL_CELL_BOOLEAN:
            return str(bool(cell.value))
        if cell.ctype == xlrd.XL_CELL_DATE:
            return _date_text(cell.value, self._book.datemode)
        return format_number_cell(cell.value) if isinstance(cell.value, float) else str(cell.value).strip()


def _date_text(days: float, mode: int) -> str:
    try:
        return str(xlrd.xldate_as_datetime(days, mode))
    except (ValueError, OverflowError):
        return format_number_cell(days)
