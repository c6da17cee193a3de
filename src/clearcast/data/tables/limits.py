"""How much of a sheet is read at most, so that no file can take the memory or the hours of a machine."""

from pathlib import Path
from typing import NoReturn

from clearcast.errors import SheetError

MOST_FILE_BYTES = 2**30
MOST_OLD_FILE_BYTES = 2**27  # an .xls of 65,536 rows and many columns
MOST_PART_BYTES = 2**30  # a worksheet unpacked, which is never held as a whole
MOST_STRING_BYTES = 2**28  # the shared strings of a workbook unpacked, which are
MOST_SMALL_PART_BYTES = 2**24
MOST_PARTS = 50_000
MOST_STRINGS = 4_000_000
MOST_CELLS = 20_000_000  # of a worksheet, also empty ones that only have a format
MOST_CELL_TEXT = 100_000  # characters; Excel itself allows 32,767
MOST_LINE_TEXT = 2**20  # characters of a line of a CSV
MOST_LINES = 2_000_000
MOST_TEXT = 2**28  # characters of all wanted cells
MOST_MERGED = 100_000


def refuse(what: str, most: int, unit: str) -> NoReturn:
    """Say that a sheet has more of something than is read.

    Raises:
        SheetError: always.
    """
    raise SheetError(
        f"{what} more than {most:,} {unit}, which is the most that is read; save the list of images alone as a new "
        "sheet, or as 'CSV UTF-8'"
    )


def require_file_size(path: Path, most: int | None = None) -> None:
    """Make sure that a file can be a sheet by its size: at most ``MOST_FILE_BYTES``, or other bytes.

    Raises:
        SheetError: it is larger.
    """
    most = MOST_FILE_BYTES if most is None else most
    if path.stat().st_size > most:
        refuse("the file has", most // 2**20, "MB")
