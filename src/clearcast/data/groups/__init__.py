"""Which pictures show the same part: candidates from an index, each verified by laying one picture over the other."""

from clearcast.data.groups.find import Grouping, Link, find_groups
from clearcast.data.groups.rows import group_rows, label_doubts, write_groups

__all__ = ["Grouping", "Link", "find_groups", "group_rows", "label_doubts", "write_groups"]
