"""Minimum image size of a bundle's networks."""

from clearcast.data.usable import Rows
from clearcast.errors import SheetError
from clearcast.runtime.model import SMALLEST


def refuse_tiny(rows: Rows) -> None:
    """Refuse images that are too small for the networks.

    Raises:
        SheetError: one is.
    """
    for row in rows.sheet.rows:
        info = rows.facts[row.noisy].info
        if info and min(info.width, info.height) < SMALLEST:
            raise SheetError(
                f"{rows.sheet.path}: row {row.number}: {row.noisy}: expected at least {SMALLEST} x {SMALLEST} pixels, "
                f"got {info.width} x {info.height}; remove such rows from the sheet"
            )
