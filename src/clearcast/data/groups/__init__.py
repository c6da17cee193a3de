"""Which pictures show the same part: candidates from an index, each verified by laying one picture over the other."""

from clearcast.data.groups.find import find_groups
from clearcast.data.groups.rows import group_rows, label_doubts, write_groups

__all__ = ["find_groups", "group_rows", "label_doubts", "write_groups"]
