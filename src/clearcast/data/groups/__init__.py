"""Group detection: find images of the same part, by a nearest-neighbour index and image registration."""

from clearcast.data.groups.alignment import align_images
from clearcast.data.groups.clustering import MATCH_THRESHOLD, detect_groups
from clearcast.data.groups.row_groups import (
    ComparedImages,
    RowGroups,
    detect_row_groups,
    find_label_errors,
    select_group_images,
    write_groups_table,
    write_match_scores,
)

__all__ = [
    "MATCH_THRESHOLD",
    "ComparedImages",
    "RowGroups",
    "align_images",
    "detect_groups",
    "detect_row_groups",
    "find_label_errors",
    "select_group_images",
    "write_groups_table",
    "write_match_scores",
]
