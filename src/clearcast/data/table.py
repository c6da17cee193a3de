"""Read a sheet's file, of any format, as a header and numbered lines of cells; what they mean is for others to say."""

import csv
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearcast.errors import MissingDependencyError, SheetError


@dataclass(frozen=True, kw_only=True)
class Table:
    """The cells of a sheet.

    ``header`` holds the columns' names; ``lines`` the rows below it, each with its number as spreadsheets count and at
    least as many cells as the header has names.
    """

    header: tuple[str, ...]
    lines: tuple[tuple[int, tuple[Any, ...]], ...]


def read_table(path: Path, names: Iterable[str]) -> Table:
    """Read .xlsx, .xls, .csv or .parquet; blank rows above the header are skipped.

    Args:
        path: the file; of a workbook, its first worksheet is read.
        names: the names of the columns that are wanted; by them the separator of a .csv is told.

    Raises:
        SheetError: another kind of file, or one that is damaged or empty.
        MissingDependencyError: an optional package is needed for this format.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise SheetError(f"{path}: a sheet ends in {', '.join(READERS)}, this one in {suffix or 'nothing'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return READERS[suffix](path, {plain(name) for name in names})
    except SheetError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading {suffix} needs a package that is not installed ({error}); "
            "install it with: pip install 'clearcast[parquet]'"
        ) from None
    except UnicodeDecodeError:
        raise SheetError(f"{path}: not UTF-8 text; save the sheet again as 'CSV UTF-8'") from None
    except Exception as error:  # the readers raise dozens of kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SheetError(f"{path}: cannot be read as {suffix} ({reason}); save the sheet again") from None


def plain(name: str) -> str:
    """A column's name as names are compared: capitals and spaces around it do not matter."""
    return name.strip().casefold()


def cell_text(cell: Any) -> str:  # noqa: ANN401 -- a cell holds whatever the spreadsheet put there
    """A cell as trimmed text; an empty one, NaN or None is ''. 1.0 is '1', as a person would have typed it."""
    import pandas as pd  # only where there is a sheet: it takes longer to load than a picture to inspect

    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def _read_workbook(path: Path, _: set[str]) -> Table:
    import pandas as pd

    # without a header, so that two columns of one name keep it
    cells = pd.read_excel(path, header=None, dtype=object, engine="calamine", keep_default_na=False)
    return _below_header(cells.itertuples(index=False, name=None))


def _read_parquet(path: Path, _: set[str]) -> Table:
    import pandas as pd

    frame = pd.read_parquet(path)
    columns = [frame.iloc[:, at].tolist() for at in range(frame.shape[1])]
    return Table(header=tuple(map(str, frame.columns)), lines=tuple(enumerate(zip(*columns, strict=True), 2)))


def _read_csv(path: Path, wanted: set[str]) -> Table:
    """Spreadsheets write CSV with comma, semicolon or tab, by the country; the header tells which."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip(" ,;\t\r\n")), "")
        file.seek(0)
        separator = max(",;\t", key=lambda each: _fitness(first, each, wanted))
        table = _below_header(map(tuple, csv.reader(file, delimiter=separator, strict=True)))
    if not first:
        raise SheetError(f"{path}: the sheet is empty; needed are a header and one row an image")
    return table


def _fitness(header: str, separator: str, wanted: set[str]) -> tuple[int, int]:
    """How many wanted names, and how many names at all, a separator finds in the header."""
    found = next(csv.reader([header], delimiter=separator), [])
    return len(wanted.intersection(map(plain, found))), len(found)


def _below_header(rows: Iterable[tuple[Any, ...]]) -> Table:
    """Take the first row that is not blank for the header, and fill shorter rows up to its width."""
    numbered = enumerate(rows, 1)
    header = next((names for _, row in numbered if any(names := tuple(map(cell_text, row)))), ())
    lines = ((number, row + ("",) * (len(header) - len(row))) for number, row in numbered)
    return Table(header=header, lines=tuple(lines))


READERS: Mapping[str, Callable[[Path, set[str]], Table]] = {
    ".xlsx": _read_workbook,
    ".xls": _read_workbook,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
