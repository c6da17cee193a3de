"""Log writer: logs finished jobs in batches, one transaction each, and answers them."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from clearcast.station.log import InspectionLog, LogUnavailable
from clearcast.station.records import InspectionEntry, InspectionRecord
from clearcast.station.service.monitors import RepeatedImageCounter
from clearcast.station.service.state import ImageUpload, ServiceUnavailable

_BATCH_SIZE = 256  # entries of a transaction
_BATCH_WAIT = 0.05  # seconds to wait for further entries while jobs are queued; a transaction takes about 3 ms
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InspectionJob:
    """An upload in progress.

    Attributes:
        upload: the image.
        at: when it was submitted, see ``InspectionEntry``.
        future: set once the inspection is logged.
    """

    upload: ImageUpload
    at: int
    future: Future[InspectionRecord] = field(default_factory=Future, repr=False)


@dataclass(frozen=True, kw_only=True)
class FinishedJob:
    """A finished job and the entry to log."""

    job: InspectionJob
    entry: InspectionEntry


FinishedQueue = SimpleQueue[FinishedJob | None]


def log_finished_jobs(
    finished: FinishedQueue,
    log: InspectionLog,
    repeats: RepeatedImageCounter,
    *,
    queued: Callable[[], bool],
    log_failed: Callable[[LogUnavailable], str],
) -> None:
    """Log and answer finished jobs until None arrives.

    Args:
        finished: queue of finished jobs, in any order.
        log: receives the entries.
        repeats: detects frozen cameras, in the order of the log.
        queued: whether jobs wait for a worker.
        log_failed: called if the log cannot be written; returns the reason as a public message.
    """
    for batch in _batches(finished, queued):
        try:
            _write(batch, log, repeats)
        except LogUnavailable as error:
            _refuse(batch, log_failed(error))
        except Exception:  # one entry that the log rejects must not affect the others
            _logger.exception("%d inspections could not be logged together", len(batch))
            for each in batch:
                _write_single(each, log, repeats)


def _batches(finished: FinishedQueue, queued: Callable[[], bool]) -> Iterator[list[FinishedJob]]:
    """Yield batches of finished jobs.

    Wait for further jobs only while jobs are queued: the workers stay busy, and fewer transactions shorten the total
    time, since a transaction takes as long as a good part of an inspection.
    """
    while first := finished.get():
        batch, deadline = [first], time.monotonic() + _BATCH_WAIT
        ended = False
        while len(batch) < _BATCH_SIZE and not ended:
            try:
                following = finished.get(timeout=max(deadline - time.monotonic(), 0) if queued() else 0)
            except Empty:
                break
            if following is None:
                ended = True
            else:
                batch.append(following)
        yield batch
        if ended:
            return


def _write(batch: Sequence[FinishedJob], log: InspectionLog, repeats: RepeatedImageCounter) -> None:
    with repeats.mark_repeats([each.entry for each in batch]) as entries:
        ids = log.write(entries)
    for id_, entry, each in zip(ids, entries, batch, strict=True):
        each.job.future.set_result(InspectionRecord(id=id_, entry=entry))


def _write_single(job: FinishedJob, log: InspectionLog, repeats: RepeatedImageCounter) -> None:
    try:
        _write([job], log, repeats)
    except Exception:
        _logger.exception("an inspection could not be logged")
        _refuse([job], "an inspection could not be logged")


def _refuse(batch: Sequence[FinishedJob], reason: str) -> None:
    for each in batch:
        each.job.future.set_exception(ServiceUnavailable(reason))
