"""Logging what is inspected: all that is finished goes into one transaction, and only then is it answered."""

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

_AT_ONCE = 256  # entries of a transaction
_GATHER = 0.05  # seconds that a transaction is put off for further entries while pictures queue: it takes some 3 ms
_SAID = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """An upload on its way. ``at``: when it was handed in, see ``Entry``. ``answer`` is given once it is logged."""

    upload: Upload
    at: int
    answer: Future[Record] = field(default_factory=Future, repr=False)


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A job and what is to be logged of it."""

    job: Job
    entry: Entry


Line = SimpleQueue[Inspected | None]


def book(
    line: Line, log: Log, repeats: StationRepeats, *, queued: Callable[[], bool], away: Callable[[LogAway], str]
) -> None:
    """Log and answer what comes, until None comes.

    Args:
        line: what is finished, in any order.
        log: where it goes.
        repeats: tells of frozen cameras, in the order of the log.
        queued: whether pictures wait for a worker.
        away: called where the log cannot be written; gives the reason in words for everybody.
    """
    for batch in _batches(line, queued):
        try:
            _write(batch, log, repeats)
        except LogAway as error:
            _refuse(batch, away(error))
        except Exception:  # one entry that the log cannot hold shall not harm the others
            _SAID.exception("%d inspections could not be logged together", len(batch))
            for each in batch:
                _write_alone(each, log, repeats)


def _batches(line: Line, queued: Callable[[], bool]) -> Iterator[list[Inspected]]:
    """What waits, together.

    What comes alone waits for more only while pictures queue: the workers stay busy then, and answers come sooner on
    the whole, since a transaction takes as long as a good part of an inspection.
    """
    while first := line.get():
        batch, until = [first], time.monotonic() + _GATHER
        ended = False
        while len(batch) < _AT_ONCE and not ended:
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
    with repeats.marked([each.entry for each in batch]) as entries:
        ids = log.write(entries)
    for id_, entry, each in zip(ids, entries, batch, strict=True):
        each.job.answer.set_result(Record(id=id_, entry=entry))


def _write_alone(inspected: Inspected, log: Log, repeats: StationRepeats) -> None:
    try:
        _write([inspected], log, repeats)
    except Exception:
        _SAID.exception("an inspection could not be logged")
        _refuse([inspected], "an inspection could not be logged")


def _refuse(batch: Sequence[Inspected], reason: str) -> None:
    for each in batch:
        each.job.answer.set_exception(DeskAway(reason))
