"""Parquet reader and writer, one row group at a time. Parquet cannot be appended to, so rows are JSON lines first."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from clearcast.errors import MissingDependencyError
from clearcast.runtime.sinks.rows import COLUMNS, require_known

_GROUP = 50_000  # rows in memory at a time
_NUMBERS = frozenset({"p_defect", "threshold", "p_noise", "ms"})


def require_pyarrow(path: Path) -> None:
    """Check early that Parquet can be written."""
    if find_spec("pyarrow") is None:
        raise MissingDependencyError(
            f"{path}: writing .parquet needs the package pyarrow, which is not installed; "
            "install it with: pip install 'clearcast[parquet]', or write .csv or .jsonl"
        )


def write_parquet(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Write rows to a file; text is string, numbers are float64, the size is int64, None is null."""
    arrow, parquet = _packages()
    types = {name: arrow.float64() if name in _NUMBERS else arrow.string() for name in COLUMNS} | {
        "size": arrow.int64()
    }
    schema = arrow.schema(list(types.items()))
    remaining = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(remaining, _GROUP)):
            writer.write_table(arrow.Table.from_pylist(group, schema))


def read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a file.

    Raises:
        ValueError: it is not Parquet, or has other columns.
    """
    _, parquet = _packages()
    with parquet.ParquetFile(path) as file:
        require_known(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=_GROUP):
            yield from batch.to_pylist()


def _packages() -> tuple[ModuleType, ModuleType]:
    """Import the optional package pyarrow, which has no types, and its Parquet module."""
    return import_module("pyarrow"), import_module("pyarrow.parquet")
