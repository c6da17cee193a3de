"""A process of its own that reads Parquet: the native reader ends the process that it is in on some damaged files.

It answers in lines of JSON: first the names of the columns, then for each request (the places of the wanted columns)
lists of rows of text, and null at their end. What is wrong is ``{"refused": "..."}``.
"""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from clearcast.data.tables import limits
from clearcast.data.tables.grid import number_text
from clearcast.errors import SheetError

_BATCH = 512
_MOST_MEMORY = 2**32  # bytes of addresses, of which the reader needs far less


def main() -> None:
    """Read the file that is named first, as often as asked."""
    _limit_memory()
    try:
        parquet = import_module("pyarrow.parquet")
        with parquet.ParquetFile(sys.argv[1]) as file:
            if file.metadata.num_rows > limits.MOST_LINES:
                limits.refuse("the file declares", limits.MOST_LINES, "rows")
            _answer(list(map(str, file.schema_arrow.names)))
            for request in sys.stdin:
                places = json.loads(request)
                _require_small(file, places)
                for rows in _batches(parquet, sys.argv[1], file.schema_arrow, places):
                    _answer(rows)
                _answer(None)
    except SheetError as error:
        _answer({"refused": str(error)})
    except Exception as error:  # the reader raises many kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        _answer({"refused": f"cannot be read as .parquet ({reason}); save the sheet again"})


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, most))


def _answer(value: object) -> None:
    print(json.dumps(value), flush=True)


def _require_small(file: Any, places: list[int]) -> None:  # noqa: ANN401 -- pyarrow has no types
    kinds = import_module("pyarrow.types")
    names = {file.schema_arrow.names[place] for place in places}
    for place in places:
        field = file.schema_arrow.field(place)
        if kinds.is_nested(field.type):
            raise SheetError(f"column {field.name!r} holds {field.type}; expected text or numbers")
    groups = [file.metadata.row_group(each) for each in range(file.metadata.num_row_groups)]
    columns = [group.column(at) for group in groups for at in range(group.num_columns)]
    if sum(each.total_uncompressed_size for each in columns if each.path_in_schema in names) > limits.MOST_STRING_BYTES:
        limits.refuse("the wanted columns unpack to", limits.MOST_STRING_BYTES // 2**20, "MB")


def _batches(parquet: Any, path: str, schema: Any, places: list[int]) -> Iterator[list[list[str]]]:  # noqa: ANN401
    names = [schema.names[place] for place in places]
    characters = 0
    # strings stay in their dictionary: a few bytes may stand for a million long strings
    with parquet.ParquetFile(path, read_dictionary=names, pre_buffer=False) as file:
        for batch in file.iter_batches(_BATCH, columns=names, use_threads=False):
            texts = [_texts(batch.column(name)) for name in names]
            characters += sum(len(text) for column in texts for text in column)
            if characters > limits.MOST_TEXT:
                limits.refuse("the wanted columns hold", limits.MOST_TEXT, "characters")
            yield [list(row) for row in zip(*texts, strict=True)]


def _texts(column: Any) -> list[str]:  # noqa: ANN401 -- pyarrow has no types
    """The cells of a part of a column; each distinct string is held once."""
    if hasattr(column, "dictionary"):
        known = [_text(value.as_py()) for value in column.dictionary]
        return ["" if index is None else known[index] for index in column.indices.to_pylist()]
    return [_text(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return number_text(value)
    text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
    if len(text) > limits.MOST_CELL_TEXT:
        limits.refuse("a cell has", limits.MOST_CELL_TEXT, "characters")
    return text.strip()
