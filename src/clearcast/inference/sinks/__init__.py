"""Results files: one row per inspection as CSV, JSON lines or Parquet, resumable after an interruption."""

from clearcast.inference.sinks.inspected import InspectedIndex
from clearcast.inference.sinks.result_rows import RESULTS_COLUMNS, read_newest_results, read_results
from clearcast.inference.sinks.writer import ResultsWriter, open_results_writer

__all__ = [
    "RESULTS_COLUMNS",
    "InspectedIndex",
    "ResultsWriter",
    "open_results_writer",
    "read_newest_results",
    "read_results",
]
