"""Detection of a frozen camera, which delivers the same image repeatedly under new names."""

import re
from dataclasses import replace

from clearcast.types import Inspection

_MAX_EQUAL = 2  # equal images in a row within one series: one that is sent twice, or the first frame of two cameras
_MAX_EQUAL_OUTSIDE = 9  # outside a series: people copy images, but not so often
_COUNTER = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{4,}|[0-9]+", re.IGNORECASE)  # a number, a time, a hash


class RepeatDetector:
    """Counter of consecutive images with identical pixels; feed it in the order of the source.

    A camera overwrites one file, or numbers its files. So equal images whose names differ only in numbers indicate a
    frozen camera from the third on. More copies are allowed if their names differ otherwise.

    Attributes:
        total: images so far that equal the previous one.
    """

    def __init__(self) -> None:
        self.total = 0
        self._previous_pixels: str | None = None
        self._previous_series = ""
        self._equal = 0  # images in a row
        self._equal_in_series = 0

    def count(self, name: str, pixels: str | None) -> int | None:
        """Count the next image.

        Args:
            name: of its file.
            pixels: hash of its pixels, see ``Inspection``.

        Returns:
            Its position in the run of equal images, from 1, if the camera seems frozen; else None.
        """
        series = _COUNTER.sub("0", name)
        is_equal = pixels is not None and pixels == self._previous_pixels
        self._equal = self._equal + 1 if is_equal else 1
        self._equal_in_series = self._equal_in_series + 1 if is_equal and series == self._previous_series else 1
        self._previous_pixels, self._previous_series = pixels, series
        self.total += is_equal
        frozen = self._equal_in_series > _MAX_EQUAL or self._equal > _MAX_EQUAL_OUTSIDE
        return self._equal if frozen else None

    def check(self, inspection: Inspection) -> Inspection:
        """Check an inspection; for an image of a frozen camera, the verdict is replaced by an error.

        Equal frames of a video are only counted: if a belt stands still, or frames are duplicated, compressed ones are
        often identical.
        """
        position = self.count(inspection.path, inspection.pixels)
        if position is None or inspection.error or inspection.sha256 is None:  # without SHA-256: not a file
            return inspection
        return replace(
            inspection,
            verdict=None,
            p_defect=None,
            noise_type=None,
            noise_level="",
            p_noise=None,
            ms=None,
            error=f"{inspection.path}: {frozen_camera_message(position)}",
            shape=None,
            looks=None,
        )


def frozen_camera_message(position: int) -> str:
    """Error message for an image at some position in a run of equal ones.

    >>> frozen_camera_message(3), frozen_camera_message(21), frozen_camera_message(111)[:40]
    ('the same image for the 3rd time in a row; is the camera frozen?', \
'the same image for the 21st time in a row; is the camera frozen?', \
'the same image for the 111th time in a r')
    """
    ending = "th" if position % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(position % 10, "th")
    return f"the same image for the {position}{ending} time in a row; is the camera frozen?"
