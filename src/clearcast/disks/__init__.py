"""Machined and cast disks, rendered as a camera sees them from above: the data set that needs no data.

``sample_part`` draws a part, ``render`` takes its picture and marks its defects, ``look`` makes further pictures of
it, and ``write_disks`` writes a whole data set.
"""

from clearcast.disks.dataset import DiskSummary, write_disks
from clearcast.disks.part import Defect, DefectKind, Family, Part
from clearcast.disks.rendering import NOTICEABLE, render
from clearcast.disks.sampling import sample_defect, sample_part
from clearcast.disks.views import View, look, sample_view

__all__ = [
    "NOTICEABLE",
    "Defect",
    "DefectKind",
    "DiskSummary",
    "Family",
    "Part",
    "View",
    "look",
    "render",
    "sample_defect",
    "sample_part",
    "sample_view",
    "write_disks",
]
