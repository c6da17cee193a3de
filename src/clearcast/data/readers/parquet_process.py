"""Main loop of the sandbox process that reads Parquet: the native reader crashes on some damaged files.

It responds in lines of JSON: first the column names, then for each request (indices of the wanted columns) lists of
rows of text, and null at the end. An error is ``{"refused": "..."}``.
"""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from clearcast.core.errors import SheetError, first_error_line
from clearcast.data.readers import grid
from clearcast.data.readers.grid import format_number_cell

_BATCH = 512
_MOST_MEMORY = 2**32  # bytes of address space; the reader needs far less


def run_parquet_process() -> None:
    """Read the file named by the first argument, once per request."""
    _limit_memory()
    try:
        parquet = import_module("pyarrow.parquet")
        with parquet.ParquetFile(sys.argv[1]) as file:
            if file.metadata.num_rows > grid.MAX_LINES:
                grid.refuse_oversized("the file declares", grid.MAX_LINES, "rows")
            _send(list(map(str, file.schema_arrow.names)))
            for request in sys.stdin:
                indices = json.loads(request)
                _require_size(file, indices)
                for rows in _batches(parquet, sys.argv[1], file.schema_arrow, indices):
                    _send(rows)
                _send(None)
    except SheetError as error:
        _send({"refused": str(error)})
    except Exception as error:  # the reader raises many types for a damaged file
        _send({"refused": f"cannot be read as .parquet ({first_error_line(error)}); save the sheet again"})


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, limit))


def _send(value: object) -> None:
    print(json.dumps(value), flush=True)


def _require_size(file: Any, indices: list[int]) -> None:  # noqa: ANN401 -- pyarrow has no types
    kinds = import_module("pyarrow.types")
    names = {file.schema_arrow.names[index] for index in indices}
    for index in indices:
        field = file.schema_arrow.field(index)
        if kinds.is_nested(field.type):
            raise SheetError(f"column {field.name!r}: expected text or numbers, got {field.type}")
    groups = [file.metadata.row_group(each) for each in range(file.metadata.num_row_groups)]
    columns = [group.column(at) for group in groups for at in range(group.num_columns)]
    if sum(each.total_uncompressed_size for each in columns if each.path_in_schema in names) > grid.MAX_STRING_BYTES:
        grid.refuse_oversized("the wanted columns unpack to", grid.MAX_STRING_BYTES // 2**20, "MB")


def _batches(parquet: Any, path: str, schema: Any, indices: list[int]) -> Iterator[list[list[str]]]:  # noqa: ANN401
    names = [schema.names[index] for index in indices]
    characters = 0
    # strings stay in their dictionary: a few bytes may stand for a million long strings
    with parquet.ParquetFile(path, read_dictionary=names, pre_buffer=False) as file:
        for batch in file.iter_batches(_BATCH, columns=names, use_threads=False):
            texts = [_texts(batch.column(name)) for name in names]
            characters += sum(len(text) for column in texts for text in column)
            if characters > grid.MAX_TEXT:
                grid.refuse_oversized("the wanted columns have", grid.MAX_TEXT, "characters")
            yield [list(row) for row in zip(*texts, strict=True)]


def _texts(column: Any) -> list[str]:  # noqa: ANN401 -- pyarrow has no types
    """Convert a chunk of a column to texts; each distinct string is in memory once."""
    if hasattr(column, "dictionary"):
        known = [_text(value.as_py()) for value in column.dictionary]
        return ["" if index is None else known[index] for index in column.indices.to_pylist()]
    return [_text(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return format_number_cell(value)
    text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
    if len(text) > grid.MAX_CELL_TEXT:
        grid.refuse_oversized("a cell has", grid.MAX_CELL_TEXT, "characters")
    return text.strip()
