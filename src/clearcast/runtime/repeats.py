"""The same picture again and again: what a frozen camera delivers, under ever new names."""

from clearcast.domain import Inspection
from clearcast.runtime.inspector import failed_inspection

ALLOWED = 2  # pictures in a row may be the same: one that is sent again, or two cameras' first frame


class Repeats:
    """Counts how often the very same pixels come in a row; to be fed in the order of the source.

    Attributes:
        total: pictures so far that were the same as the one before.
    """

    def __init__(self) -> None:
        self._last: str | None = None
        self._row = 0
        self.total = 0

    def count(self, pixels: str | None) -> int:
        """The place of a picture in its row of equal ones, from 1; ``pixels``: see ``Inspection``."""
        same = pixels is not None and pixels == self._last
        self._row = self._row + 1 if same else 1
        self._last = pixels
        self.total += same
        return self._row

    def see(self, inspection: Inspection) -> Inspection:
        """The same inspection, or from the third equal picture in a row on, one with an error instead of a verdict."""
        row = self.count(inspection.pixels)
        if row <= ALLOWED or inspection.error:
            return inspection
        return failed_inspection(
            inspection.path,
            inspection.sha256,
            f"{inspection.path}: {repeated(row)}",
            threshold=inspection.threshold,
            model=inspection.model,
        )


def repeated(row: int) -> str:
    """What to say of the picture that is the ``row``-th of a row of equal ones.

    >>> repeated(3), repeated(21), repeated(111)[:40]
    ('the same picture for the 3rd time in a row: is the camera frozen?', \
'the same picture for the 21st time in a row: is the camera frozen?', 'the same picture for the 111th time in a')
    """
    ending = "th" if row % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(row % 10, "th")
    return f"the same picture for the {row}{ending} time in a row: is the camera frozen?"
