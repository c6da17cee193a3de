"""Image sources: single files, folders, patterns, sheets, zips, object stores, stdin, videos, cameras, Python."""

from clearcast.runtime.sources.item import Item, SourceError
from clearcast.runtime.sources.opening import Source, count, items
from clearcast.runtime.sources.shards import Shard, parse_shard

__all__ = ["Item", "Shard", "Source", "SourceError", "count", "items", "parse_shard"]
