"""Size limits for sheets, against denial of service by memory or time (zip bombs)."""

from pathlib import Path
from typing import NoReturn

from clearcast.errors import SheetError

MOST_FILE_BYTES = 2**30
MOST_OLD_FILE_BYTES = 2**27  # an .xls of 65,536 rows and many columns
MOST_PART_BYTES = 2**30  # an unpacked worksheet, which is streamed
MOST_STRING_BYTES = 2**28  # the unpacked shared strings of a workbook, which are in memory
MOST_SMALL_PART_BYTES = 2**24
MOST_PARTS = 50_000
MOST_STRINGS = 4_000_000
MOST_CELLS = 20_000_000  # of a worksheet, including empty cells that only have a format
MOST_CELL_TEXT = 100_000  # characters; Excel itself allows 32,767
MOST_LINE_TEXT = 2**20  # characters in a line of a CSV
MOST_LINES = 2_000_000
MOST_TEXT = 2**28  # characters in all wanted cells
MOST_MERGED = 100_000


def refuse(what: str, most: int, unit: str) -> NoReturn:
    """Refuse a sheet that exceeds a limit.

    Raises:
        SheetError: always.
    """
    raise SheetError(
        f"{what} more than {most:,} {unit}, which is the limit; save only the list of images as a new sheet, or as "
        "'CSV UTF-8'"
    )


def require_file_size(path: Path, most: int | None = None) -> None:
    """Check that a file has at most ``most`` bytes (default ``MOST_FILE_BYTES``).

    Raises:
        SheetError: the file is larger.
    """
    most = MOST_FILE_BYTES if most is None else most
    if path.stat().st_size > most:
        refuse("the file has", most // 2**20, "MB")
