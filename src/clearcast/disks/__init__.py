"""Renderer of synthetic parts: machined and cast disks with defects, as a camera sees them from above.

``sample_part`` draws a part at random, ``render`` renders its image and defect mask from a height map and an albedo
map, ``look`` makes augmented images of it, and ``write_disks`` writes a whole data set.
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
