"""Group detection: find images of the same part, by a nearest-neighbour index and image registration."""

from clearcast.data.groups.find import SAME, find_groups
from clearcast.data.groups.overlay import laid_over
from clearcast.data.groups.rows import (
    Link,
    RowGroups,
    find_row_groups,
    group_rows,
    label_doubts,
    shown_pictures,
    write_doubts,
    write_groups,
)

__all__ = [
    "SAME",
    "Link",
    "RowGroups",
    "find_groups",
    "find_row_groups",
    "group_rows",
    "label_doubts",
    "laid_over",
    "shown_pictures",
    "write_doubts",
    "write_groups",
]
