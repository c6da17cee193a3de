"""CSV export of the log: the columns of ``clearcast predict``, plus those that only a station has.

Image names and notes come from outside: ``protect_cell`` escapes those that a spreadsheet would evaluate as a
formula.
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

from clearcast.core.spreadsheets import protect_cell
from clearcast.inference.sinks.result_rows import VERDICT_COLUMNS
from clearcast.station.api.problems import http_error, retry_after_header
from clearcast.station.api.schemas import format_timestamp
from clearcast.station.api.workers import WorkerPool
from clearcast.station.records import InspectionRecord

_ENTRY_COLUMNS = tuple(name for name in VERDICT_COLUMNS if name != "path")  # an image has a name here, and no path
_SHADOW_COLUMNS = ("model", "verdict", "p_defect", "threshold", "error")
LOG_EXPORT_COLUMNS = (
    *("id", "at", "station", "name"),
    *_ENTRY_COLUMNS,
    *("disagreement", "feedback", "note", "operator"),
    *(f"shadow_{name}" for name in _SHADOW_COLUMNS),
)
_CHUNK_ROWS = 200
_MAX_EXPORTS = 3  # at a time, so that exports never take all of a station's time
_RETRY_SECONDS = 10
_FULL_PAUSE = 0.5  # seconds until a full pool is retried for the next chunk
_CHUNK_TIMEOUT = 60.0  # seconds that a client may take for one chunk
_EXPORT_TIMEOUT = 3600.0  # seconds for a whole export
_logger = logging.getLogger(__name__)

CsvValue = str | int | float | None


class ExportLimit:
    """Limit on concurrent exports."""

    def __init__(self) -> None:
        self._free = BoundedSemaphore(_MAX_EXPORTS)

    def limit(self, records: Iterator[InspectionRecord]) -> Generator[InspectionRecord]:
        """Yield the records while holding one of the export slots.

        Raises:
            HTTPException: 429 at the first record, all slots are taken.
        """
        if not self._free.acquire(blocking=False):
            reason = f"{_MAX_EXPORTS} exports are running already; retry when one of them has finished"
            raise http_error(429, reason, headers=retry_after_header(_RETRY_SECONDS))
        try:
            yield from records
        finally:
            self._free.release()


class CsvExportResponse(StreamingResponse):
    """Streaming CSV response; the query of the log is closed whenever the response ends.

    If the client stalls, or takes longer than an hour in all, the response is aborted.
    """

    def __init__(self, records: Generator[InspectionRecord], pool: WorkerPool) -> None:
        """Read the first records in the calling thread; ``pool`` reads the others."""
        self._reader = _CsvReader(records)
        headers = {"Content-Disposition": 'attachment; filename="inspections.csv"'}
        super().__init__(self._reader.chunks(pool), media_type="text/csv", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(_CHUNK_TIMEOUT):
                await send(message)

        try:
            async with asyncio.timeout(_EXPORT_TIMEOUT):
                await super().__call__(scope, receive, send_in_time)
        except (TimeoutError, ClientDisconnect, HTTPException):
            _logger.warning("A CSV export was aborted: the client did not read it to the end")
        finally:
            self._reader.close()  # otherwise it would stay open until it is garbage-collected


class _CsvReader:
    """CSV chunks read by worker threads; it may be closed while one of them reads."""

    def __init__(self, records: Generator[InspectionRecord]) -> None:
        self._records = records
        self._chunks = format_csv_chunks(records)
        self._lock = Lock()  # of the records: one thread at a time may read or close them
        self._closed = False

    async def chunks(self, pool: WorkerPool) -> AsyncIterator[bytes]:
        """Yield all chunks, read by a pool, so that inspections take precedence.

        Raises:
            HTTPException: 503, the log took too long.
        """
        while True:
            try:
                chunk = await pool.run(self._next)
            except HTTPException as error:
                if error.status_code != 429:
                    raise
                await asyncio.sleep(_FULL_PAUSE)
                continue
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        """Close the records now, or as soon as the thread that reads them has finished its chunk."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._records.close()
            finally:
                self._lock.release()

    def _next(self) -> bytes | None:
        with self._lock:
            chunk = None if self._closed else next(self._chunks, None)
        if self._closed:
            self.close()
        return chunk


def format_csv_chunks(records: Iterator[InspectionRecord]) -> Iterator[bytes]:
    """Format records as CSV in UTF-8 chunks: a header, then one line per record; numbers have 6 significant digits.

    The first records are read at once, so that an unavailable log raises before anything is sent.
    """
    first = list(islice(records, _CHUNK_ROWS))
    return _chunks(chain(first, records))


def _chunks(records: Iterator[InspectionRecord]) -> Iterator[bytes]:
    yield _lines([LOG_EXPORT_COLUMNS])
    while rows := [_row(record) for record in islice(records, _CHUNK_ROWS)]:
        yield _lines(rows)


def _row(record: InspectionRecord) -> tuple[str, ...]:
    entry, last = record.entry, record.feedback[-1] if record.feedback else None
    values: tuple[CsvValue, ...] = (
        *(record.id, format_timestamp(entry.at), entry.station, entry.name),
        *(getattr(entry, name) for name in _ENTRY_COLUMNS),
        *(record.disagreement, *((last.says, last.note, last.operator) if last else ("", "", ""))),
        *(getattr(entry.shadow, name, None) for name in _SHADOW_COLUMNS),
    )
    return tuple(map(_cell, values))


def _cell(value: CsvValue) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return protect_cell(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _lines(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
