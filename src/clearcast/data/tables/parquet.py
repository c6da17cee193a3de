"""Parquet, by its wanted columns and in small batches. It needs pyarrow."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from clearcast.data.tables import limits
from clearcast.data.tables.grid import Grid, GridRow, number_text
from clearcast.errors import SheetError

_BATCH = 4096


@contextmanager
def open_parquet(path: Path) -> Iterator[list[Grid]]:
    """The table of a file.

    Raises:
        SheetError: it declares more than is read.
        ImportError: pyarrow is not installed.
        Exception: it is damaged.
    """
    limits.require_file_size(path)
    with import_module("pyarrow.parquet").ParquetFile(path) as file:
        yield [_ParquetTable(path, file)]


class _ParquetTable(Grid):
    """Its header is row 1, as if a spreadsheet showed it."""

    def __init__(self, path: Path, file: Any) -> None:  # noqa: ANN401 -- pyarrow has no types
        super().__init__()
        self._path = path
        self._file = file
        self._schema = file.schema_arrow
        if file.metadata.num_rows > limits.MOST_LINES:
            limits.refuse("the file declares", limits.MOST_LINES, "rows")

    def rows(self, columns: Collection[int] | None = None) -> Iterator[GridRow]:
        names = self._schema.names
        header = {place: name for place, name in enumerate(names) if columns is None or place in columns}
        yield GridRow(1, header)
        if columns is not None:
            yield from self._body(sorted(columns))

    def _body(self, places: list[int]) -> Iterator[GridRow]:
        names = [self._schema.names[place] for place in places]
        self._require_flat(places)
        number = 1
        # strings stay in their dictionary: a few bytes may stand for a million long strings
        parquet = import_module("pyarrow.parquet")
        with parquet.ParquetFile(self._path, read_dictionary=names, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH, columns=names, use_threads=False):
                texts = [_texts(batch.column(name)) for name in names]
                for values in zip(*texts, strict=True):
                    number += 1
                    yield GridRow(number, {place: text for place, text in zip(places, values, strict=True) if text})

    def _require_flat(self, places: list[int]) -> None:
        kinds = import_module("pyarrow.types")
        for place in places:
            field = self._schema.field(place)
            if kinds.is_nested(field.type):
                raise SheetError(f"column {field.name!r} holds {field.type}; expected text or numbers")
        metadata = self._file.metadata
        size = sum(
            group.column(at).total_uncompressed_size
            for group in (metadata.row_group(each) for each in range(metadata.num_row_groups))
            for at in range(group.num_columns)
            if group.column(at).path_in_schema in {self._schema.names[place] for place in places}
        )
        if size > limits.MOST_STRING_BYTES:
            limits.refuse("the wanted columns unpack to", limits.MOST_STRING_BYTES // 2**20, "MB")


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
