"""Where results go: a file of rows, CSV, JSON lines or Parquet, that is gone on with after an interruption."""

from clearcast.runtime.sinks.inspected import Inspected
from clearcast.runtime.sinks.opening import Sink, open_sink
from clearcast.runtime.sinks.reading import read_newest_results, read_results
from clearcast.runtime.sinks.rows import COLUMNS

__all__ = ["COLUMNS", "Inspected", "Sink", "open_sink", "read_newest_results", "read_results"]
