"""Where pictures come from: a picture, a folder, a pattern, a sheet, a zip, stdin, a video, a camera, Python."""

from clearcast.runtime.sources.item import Item, SourceError
from clearcast.runtime.sources.opening import Source, count, items
from clearcast.runtime.sources.shards import Shard, parse_shard

__all__ = ["Item", "Shard", "Source", "SourceError", "count", "items", "parse_shard"]
