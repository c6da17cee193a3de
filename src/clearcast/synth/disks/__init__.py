"""Renderer of synthetic parts: machined and cast disks with defects, as a camera sees them from above.

``sample_part`` draws a part at random, ``render_part`` renders its image and defect mask from a height map and an
albedo map, ``sample_view`` and ``apply_view`` make augmented images of it, and ``write_disks`` writes a whole data set.
"""

from clearcast.synth.disks.dataset import DiskSummary, RenderedView, apply_view, sample_view, write_disks
from clearcast.synth.disks.part import DefectKind, PartFamily, RenderedDefect, RenderedPart
from clearcast.synth.disks.rendering import VISIBLE_DIFFERENCE, render_part
from clearcast.synth.disks.sampling import sample_defect, sample_part

__all__ = [
    "VISIBLE_DIFFERENCE",
    "DefectKind",
    "DiskSummary",
    "PartFamily",
    "RenderedDefect",
    "RenderedPart",
    "RenderedView",
    "apply_view",
    "render_part",
    "sample_defect",
    "sample_part",
    "sample_view",
    "write_disks",
]
