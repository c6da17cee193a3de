"""The same picture again and again: what a frozen camera delivers, under ever new names."""

import re
from dataclasses import replace

from clearcast.domain import Inspection

_ALLOWED = 2  # equal pictures in a row of one series: one that is sent again, or two cameras' first frame
_ALLOWED_UNNAMED = 9  # of no series: people copy a picture, but not so often
_COUNTER = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{4,}|[0-9]+", re.IGNORECASE)  # a number, a time, a hash


class Repeats:
    """Counts how often the very same pixels come in a row; to be fed in the order of the source.

    A camera overwrites one file, or numbers its files. So equal pictures whose names differ in nothing but numbers are
    a frozen camera's from the third on. Copies that have names of their own are allowed more often.

    Attributes:
        total: pictures so far that were the same as the one before.
    """

    def __init__(self) -> None:
        self.total = 0
        self._pixels: str | None = None
        self._series = ""
        self._equal = 0  # pictures in a row
        self._equal_in_series = 0

    def count(self, name: str, pixels: str | None) -> int | None:
        """Take up the next picture.

        Args:
            name: of its file.
            pixels: see ``Inspection``.

        Returns:
            its place in the row of equal pictures, from 1, if a frozen camera took it; else None.
        """
        series = _COUNTER.sub("0", name)
        same = pixels is not None and pixels == self._pixels
        self._equal = self._equal + 1 if same else 1
        self._equal_in_series = self._equal_in_series + 1 if same and series == self._series else 1
        self._pixels, self._series = pixels, series
        self.total += same
        frozen = self._equal_in_series > _ALLOWED or self._equal > _ALLOWED_UNNAMED
        return self._equal if frozen else None

    def see(self, inspection: Inspection) -> Inspection:
        """The same inspection, or for a picture of a frozen camera one with an error instead of a verdict.

        Equal frames of a video are only counted: where a belt stands still, or frames were doubled, compressed ones
        are often equal to the bit.
        """
        place = self.count(inspection.path, inspection.pixels)
        if place is None or inspection.error or inspection.sha256 is None:  # None: there is no file of its own
            return inspection
        return replace(
            inspection,
            verdict=None,
            p_defect=None,
            noise_type=None,
            noise_level="",
            p_noise=None,
            ms=None,
            error=f"{inspection.path}: {frozen_reason(place)}",
            shape=None,
            looks=None,
        )


def frozen_reason(place: int) -> str:
    """What to say of a picture at some place in a row of equal ones.

    >>> frozen_reason(3), frozen_reason(21), frozen_reason(111)[:40]
    ('the same picture for the 3rd time in a row: is the camera frozen?', \
'the same picture for the 21st time in a row: is the camera frozen?', 'the same picture for the 111th time in a')
    """
    ending = "th" if place % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"the same picture for the {place}{ending} time in a row: is the camera frozen?"
