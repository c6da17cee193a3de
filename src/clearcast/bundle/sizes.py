"""Pictures that are too small for a bundle's networks."""

from clearcast.data.usable import Rows
from clearcast.errors import SheetError
from clearcast.runtime.model import SMALLEST


def refuse_tiny(rows: Rows) -> None:
    """Make sure that all pictures can be looked at.

    Raises:
        SheetError: one cannot.
    """
    for row in rows.sheet.rows:
        info = rows.facts[row.noisy].info
        if info and min(info.width, info.height) < SMALLEST:
            raise SheetError(
                f"{rows.sheet.path}: row {row.number}: {row.noisy} has {info.width} x {info.height} pixels; needed are "
                f"at least {SMALLEST} a side; take such rows out of the sheet"
            )
