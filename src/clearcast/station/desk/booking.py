"""Log writer: writes finished jobs to the log in batches, one transaction each, then answers them."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from clearcast.station.desk.repeating import StationRepeats
from clearcast.station.desk.words import DeskAway, Upload
from clearcast.station.log import Log, LogAway
from clearcast.station.records import Entry, Record

_BATCH_SIZE = 256  # entries of a transaction
_BATCH_WAIT = 0.05  # seconds to wait for further entries while jobs are queued; a transaction takes about 3 ms
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """An upload in progress.

    Attributes:
        upload: the image.
        at: when it was submitted, see ``Entry``.
        answer: set once the inspection is logged.
    """

    upload: Upload
    at: int
    answer: Future[Record] = field(default_factory=Future, repr=False)


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A finished job and the entry to log."""

    job: Job
    entry: Entry


Line = SimpleQueue[Inspected | None]


def book(
    line: Line, log: Log, repeats: StationRepeats, *, queued: Callable[[], bool], log_failed: Callable[[LogAway], str]
) -> None:
    """Log and answer finished jobs until None arrives.

    Args:
        line: queue of finished jobs, in any order.
        log: receives the entries.
        repeats: detects frozen cameras, in the order of the log.
        queued: whether jobs wait for a worker.
        log_failed: called if the log cannot be written; returns the reason as a public message.
    """
    for batch in _batches(line, queued):
        try:
            _write(batch, log, repeats)
        except LogAway as error:
            _refuse(batch, log_failed(error))
        except Exception:  # one entry that the log rejects must not affect the others
            _logger.exception("%d inspections could not be logged together", len(batch))
            for each in batch:
                _write_single(each, log, repeats)


def _batches(line: Line, queued: Callable[[], bool]) -> Iterator[list[Inspected]]:
    """Yield batches of finished jobs.

    Wait for further jobs only while jobs are queued: the workers stay busy, and fewer transactions shorten the total
    time, since a transaction takes as long as a good part of an inspection.
    """
    while first := line.get():
        batch, until = [first], time.monotonic() + _BATCH_WAIT
        ended = False
        while len(batch) < _BATCH_SIZE and not ended:
            try:
                following = line.get(timeout=max(until - time.monotonic(), 0) if queued() else 0)
            except Empty:
                break
            if following is None:
                ended = True
            else:
                batch.append(following)
        yield batch
        if ended:
            return


def _write(batch: Sequence[Inspected], log: Log, repeats: StationRepeats) -> None:
    with repeats.mark_repeats([each.entry for each in batch]) as entries:
        ids = log.write(entries)
    for id_, entry, each in zip(ids, entries, batch, strict=True):
        each.job.answer.set_result(Record(id=id_, entry=entry))


def _write_single(inspected: Inspected, log: Log, repeats: StationRepeats) -> None:
    try:
        _write([inspected], log, repeats)
    except Exception:
        _logger.exception("an inspection could not be logged")
        _refuse([inspected], "an inspection could not be logged")


def _refuse(batch: Sequence[Inspected], reason: str) -> None:
    for each in batch:
        each.job.answer.set_exception(DeskAway(reason))
