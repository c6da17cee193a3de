"""Results files: one row per inspection as CSV, JSON lines or Parquet, resumable after an interruption."""

from clearcast.runtime.sinks.inspected import Inspected
from clearcast.runtime.sinks.opening import Sink, open_sink
from clearcast.runtime.sinks.reading import read_newest_results, read_results
from clearcast.runtime.sinks.rows import COLUMNS

__all__ = ["COLUMNS", "Inspected", "Sink", "open_sink", "read_newest_results", "read_results"]
