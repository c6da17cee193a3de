"""Where results go: a file of rows, CSV, JSON lines or Parquet, that is gone on with after an interruption."""

from clearcast.runtime.sinks.done import Done
from clearcast.runtime.sinks.opening import Sink, open_sink, read_results
from clearcast.runtime.sinks.rows import COLUMNS

__all__ = ["COLUMNS", "Done", "Sink", "open_sink", "read_results"]
