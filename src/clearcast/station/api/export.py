"""The log as a table: the columns of the results of ``clearcast predict``, and what a station knows beyond.

Here strangers name the pictures and people write notes: ``cells`` says what becomes of those that a spreadsheet would
compute.
"""

import asyncio
import csv
import io
import logging
from collections.abc import AsyncIterator, Generator, Iterator
from itertools import chain, islice
from threading import BoundedSemaphore, Lock

from fastapi import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from clearcast.cells import protect_cell
from clearcast.runtime.sinks.rows import VERDICT_COLUMNS
from clearcast.station.api.models import moment
from clearcast.station.api.problems import refused, retry_after
from clearcast.station.api.workers import WorkerPool
from clearcast.station.records import Record

_OF_ENTRY = tuple(name for name in VERDICT_COLUMNS if name != "path")  # a picture has a name here, and no path
_OF_SHADOW = ("model", "verdict", "p_defect", "threshold", "error")
COLUMNS = (
    *("id", "at", "station", "name"),
    *_OF_ENTRY,
    *("disagreement", "feedback", "note", "operator"),
    *(f"shadow_{name}" for name in _OF_SHADOW),
)
_ROWS = 200  # that are sent at a time
_AT_ONCE = 3  # tables, so that they never take all of a station's time
_AGAIN = 10  # seconds after which it is worth while to ask again
_FULL_PAUSE = 0.5  # seconds after which a full pool is asked for the next piece again
_STALLED = 60.0  # seconds that a reader may take for one piece
_LONGEST = 3600.0  # seconds that a whole table may take
_logger = logging.getLogger(__name__)

Value = str | int | float | None


class Exports:
    """Lets few tables be sent at a time."""

    def __init__(self) -> None:
        self._free = BoundedSemaphore(_AT_ONCE)

    def one(self, records: Iterator[Record]) -> Generator[Record]:
        """The same records, as one of the few.

        Raises:
            HTTPException: 429, at the first record; too many tables are being sent.
        """
        if not self._free.acquire(blocking=False):
            reason = f"{_AT_ONCE} tables are being sent already; ask again when one of them is done"
            raise refused(429, reason, headers=retry_after(_AGAIN))
        try:
            yield from records
        finally:
            self._free.release()


class Table(StreamingResponse):
    """Records as a table that is sent while it is read; however that ends, so does the reading of the log.

    A reader that stalls, or takes longer than an hour in all, gets no more: the answer breaks off.
    """

    def __init__(self, records: Generator[Record], pool: WorkerPool) -> None:
        """Read the first records, in the calling thread; ``pool`` reads the others."""
        self._reading = _Reading(records)
        headers = {"Content-Disposition": 'attachment; filename="inspections.csv"'}
        super().__init__(self._reading.pieces(pool), media_type="text/csv", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(_STALLED):
                await send(message)

        try:
            async with asyncio.timeout(_LONGEST):
                await super().__call__(scope, receive, send_in_time)
        except (TimeoutError, ClientDisconnect, HTTPException):
            _logger.warning("A table of inspections was not read to its end; its sending was broken off")
        finally:
            self._reading.close()  # else it would stay open until Python happens to collect it


class _Reading:
    """A table that threads read piece by piece; it may be closed while one of them reads."""

    def __init__(self, records: Generator[Record]) -> None:
        self._records = records
        self._pieces = csv_of(records)
        self._lock = Lock()  # of the records, which one thread at a time may read or close
        self._closed = False

    async def pieces(self, pool: WorkerPool) -> AsyncIterator[bytes]:
        """All pieces, read by a pool, so that inspecting comes before it.

        Raises:
            HTTPException: 503, the log took too long.
        """
        while True:
            try:
                piece = await pool.run(self._next)
            except HTTPException as error:
                if error.status_code != 429:
                    raise
                await asyncio.sleep(_FULL_PAUSE)
                continue
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        """Close the records now, or as soon as the thread that reads them is done with its piece."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._records.close()
            finally:
                self._lock.release()

    def _next(self) -> bytes | None:
        with self._lock:
            piece = None if self._closed else next(self._pieces, None)
        if self._closed:
            self.close()
        return piece


def csv_of(records: Iterator[Record]) -> Iterator[bytes]:
    """The table in pieces, UTF-8, a line a record after the header; numbers have 6 significant digits.

    The first records are asked for at once, so that a log that is away is told before anything is sent.
    """
    first = list(islice(records, _ROWS))
    return _pieces(chain(first, records))


def _pieces(records: Iterator[Record]) -> Iterator[bytes]:
    yield _lines([COLUMNS])
    while rows := [_row(record) for record in islice(records, _ROWS)]:
        yield _lines(rows)


def _row(record: Record) -> tuple[str, ...]:
    entry, last = record.entry, record.feedback[-1] if record.feedback else None
    values: tuple[Value, ...] = (
        *(record.id, moment(entry.at), entry.station, entry.name),
        *(getattr(entry, name) for name in _OF_ENTRY),
        *(record.disagreement, *((last.says, last.note, last.operator) if last else ("", "", ""))),
        *(getattr(entry.shadow, name, None) for name in _OF_SHADOW),
    )
    return tuple(map(_cell, values))


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return protect_cell(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _lines(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
