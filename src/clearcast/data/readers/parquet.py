"""Parquet reader, which runs pyarrow in a sandbox process."""

import json
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clearcast.core.errors import SheetError
from clearcast.data.readers import grid
from clearcast.data.readers.grid import CellGrid, GridRow

_TIMEOUT = 600.0  # seconds per file
_START = (
    "import sys; sys.path[:] = {path!r}; from clearcast.data.readers.parquet_process import run_parquet_process; "
    "run_parquet_process()"
)


@contextmanager
def open_parquet(path: Path) -> Iterator[list[CellGrid]]:
    """Open the table of a Parquet file.

    Raises:
        SheetError: the file is damaged or too large.
        ImportError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise ImportError("no pyarrow")
    grid.require_file_size(path)
    process = subprocess.Popen(
        # Not with -m, which would import modules from the current folder, such as a json.py beside the sheet.
        [sys.executable, "-c", _START.format(path=list(filter(None, sys.path))), str(path.absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    timer = threading.Timer(_TIMEOUT, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield [_ParquetTable(process)]
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


class _ParquetTable(CellGrid):
    """Grid of a Parquet table. The column names are row 1, as in a spreadsheet."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        super().__init__()
        self._process = process
        self._names: list[str] = self._receive()

    def rows(self, columns: Collection[int] | None = None) -> Iterator[GridRow]:
        names = dict(enumerate(self._names))
        yield GridRow(1, {index: name for index, name in names.items() if columns is None or index in columns})
        if columns is not None:
            yield from self._body(sorted(columns))

    def _body(self, indices: list[int]) -> Iterator[GridRow]:
        assert self._process.stdin
        self._process.stdin.write(f"{json.dumps(indices)}\n")
        self._process.stdin.flush()
        number = 1
        while (rows := self._receive()) is not None:
            for values in rows:
                number += 1
                yield GridRow(number, {index: text for index, text in zip(indices, values, strict=True) if text})

    def _receive(self) -> Any:  # noqa: ANN401 -- any JSON value
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SheetError(
                f"cannot be read as .parquet (its reader ended with code {self._process.wait()}); save the sheet again"
            )
        value = json.loads(line)
        if isinstance(value, dict):
            raise SheetError(value["refused"])
        return value
