"""Image sources: single files, folders, patterns, sheets, zips, object stores, stdin, videos, cameras, Python."""

from clearcast.inference.sources.factory import Source, count_source, iterate_source
from clearcast.inference.sources.item import Shard, SourceError, SourceItem, parse_shard

__all__ = ["Shard", "Source", "SourceError", "SourceItem", "count_source", "iterate_source", "parse_shard"]
