"""Executor with daemon threads, for disk writes that may hang."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import ParamSpec, TypeVar

from clearcast.station.log import InspectionLog, LogUnavailable
from clearcast.station.records import InspectionEntry, InspectionRecord
from clearcast.station.service.monitors import RepeatedImageCounter
from clearcast.station.service.state import ImageUpload, ServiceUnavailable

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DaemonExecutor:
    """Thread pool with daemon threads, so that a disk that hangs does not keep the process from ending.

    (Python waits for the threads of ``ThreadPoolExecutor`` at exit.)

    Args:
        threads: number of threads.
        name: name of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a function on a thread of the pool."""
        future: Future[_T] = Future()

        def do() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(*args, **kwargs))
                except BaseException as error:  # passed to the caller by the future
                    future.set_exception(error)

        self._jobs.put(do)
        return future

    def shutdown(self) -> None:
        """End the threads after the work submitted so far, without waiting for them."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # release it before waiting for the next


_BATCH_SIZE = 256  # entries of a transaction
_BATCH_WAIT = 0.05  # seconds to wait for further entries while jobs are queued; a transaction takes about 3 ms
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InspectionJob:
    """An upload in progress.

    Attributes:
        upload: the image.
        at: when it was submitted, see ``InspectionEntry``.
        answer: set once the inspection is logged.
    """

    upload: ImageUpload
    at: int
    answer: Future[InspectionRecord] = field(default_factory=Future, repr=False)


@dataclass(frozen=True, kw_only=True)
class FinishedJob:
    """A finished job and the entry to log."""

    job: InspectionJob
    entry: InspectionEntry


FinishedQueue = SimpleQueue[FinishedJob | None]


def log_finished_jobs(
    line: FinishedQueue,
    log: InspectionLog,
    repeats: RepeatedImageCounter,
    *,
    queued: Callable[[], bool],
    log_failed: Callable[[LogUnavailable], str],
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
        except LogUnavailable as error:
            _refuse(batch, log_failed(error))
        except Exception:  # one entry that the log rejects must not affect the others
            _logger.exception("%d inspections could not be logged together", len(batch))
            for each in batch:
                _write_single(each, log, repeats)


def _batches(line: FinishedQueue, queued: Callable[[], bool]) -> Iterator[list[FinishedJob]]:
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


def _write(batch: Sequence[FinishedJob], log: InspectionLog, repeats: RepeatedImageCounter) -> None:
    with repeats.mark_repeats([each.entry for each in batch]) as entries:
        ids = log.write(entries)
    for id_, entry, each in zip(ids, entries, batch, strict=True):
        each.job.answer.set_result(InspectionRecord(id=id_, entry=entry))


def _write_single(inspected: FinishedJob, log: InspectionLog, repeats: RepeatedImageCounter) -> None:
    try:
        _write([inspected], log, repeats)
    except Exception:
        _logger.exception("an inspection could not be logged")
        _refuse([inspected], "an inspection could not be logged")


def _refuse(batch: Sequence[FinishedJob], reason: str) -> None:
    for each in batch:
        each.job.answer.set_exception(ServiceUnavailable(reason))
