"""Logging what is inspected: all that is finished goes into one transaction, and only then is it answered."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from clearcast.station.desk.words import DeskAway, Upload
from clearcast.station.log import Log, LogAway
from clearcast.station.records import Entry, Record

_AT_ONCE = 256  # entries of a transaction
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


def book(line: Line, log: Log, *, away: Callable[[LogAway], None]) -> None:
    """Log and answer what comes, until None comes.

    Args:
        line: what is finished, in any order.
        log: where it goes.
        away: called where the log cannot be written.
    """
    for batch in _batches(line):
        try:
            _write(batch, log)
        except LogAway as error:
            away(error)
            _refuse(batch, str(error))
        except Exception:  # one entry that the log cannot hold shall not harm the others
            _SAID.exception("%d inspections could not be logged together", len(batch))
            for each in batch:
                _write_alone(each, log)


def _batches(line: Line) -> Iterator[list[Inspected]]:
    """What waits, together; what comes alone does not wait for more."""
    while first := line.get():
        batch = [first]
        ended = False
        while len(batch) < _AT_ONCE and not ended:
            try:
                following = line.get_nowait()
            except Empty:
                break
            if following is None:
                ended = True
            else:
                batch.append(following)
        yield batch
        if ended:
            return


def _write(batch: Sequence[Inspected], log: Log) -> None:
    ids = log.write([each.entry for each in batch])
    for id_, each in zip(ids, batch, strict=True):
        each.job.answer.set_result(Record(id=id_, entry=each.entry))


def _write_alone(inspected: Inspected, log: Log) -> None:
    try:
        _write([inspected], log)
    except Exception as error:
        _SAID.exception("an inspection could not be logged")
        reason = str(error) if isinstance(error, LogAway) else "an inspection could not be logged"
        _refuse([inspected], reason)


def _refuse(batch: Sequence[Inspected], reason: str) -> None:
    for each in batch:
        each.job.answer.set_exception(DeskAway(reason))
