"""The desk: a bounded queue, threads that inspect, one that logs, and one that brings back what is away."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue

from clearcast.runtime.engine import cores
from clearcast.runtime.signing import Trust
from clearcast.station.desk.booking import Inspected, Job, Line, book
from clearcast.station.desk.bundles import Place
from clearcast.station.desk.drifting import DriftWatch
from clearcast.station.desk.looking import Looker
from clearcast.station.desk.probing import Probe
from clearcast.station.desk.repeating import StationRepeats
from clearcast.station.desk.words import DeskAway, DeskFull, State, Upload
from clearcast.station.desk.writing import DaemonExecutor
from clearcast.station.log import Log
from clearcast.station.records import Record
from clearcast.station.shelf import Shelf, ShelfAway

_PAUSE = 2.0  # seconds between two looks at what is away
_CLOSING = 30.0  # seconds that threads have to finish what was taken; they may hang with a drive
_LONGEST_WAIT = 60  # seconds that are ever asked for
_logger = logging.getLogger("uvicorn.error")
_STEADY = 0.9  # share of what was known before in the mean time a picture takes


class Desk:
    """Inspects what is handed in; each answer is in the log, and its pictures are on the shelf, before it is given.

    Args:
        bundle: decides; loaded in the background, as soon as it is there.
        log: where inspections go.
        shelf: where pictures go.
        shadow: a second bundle, whose opinion is logged too.
        trust: whose signature both must have, whenever they are loaded; None: they need none.
        threads: how many pictures are inspected at a time; None: as many as there are cores.
        waiting: from so many pictures on that are not answered yet, no more are taken.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        log: Log,
        shelf: Shelf,
        shadow: Path | None = None,
        trust: Trust | None = None,
        threads: int | None = None,
        waiting: int = 64,
    ) -> None:
        self._log, self._shelf = log, shelf
        self._size = threads or cores()
        self._most = waiting
        self._bundle = Place(bundle, self._size, trust)
        shelf.restorer = self._bundle
        self._shadow = Place(shadow, self._size, trust) if shadow else None
        self._drift = DriftWatch(log)
        self._repeats = StationRepeats()
        self._lock = threading.Lock()  # of what is counted and said below; and nothing is taken after the desk closed
        self._closing = False
        self._over = threading.Event()
        self._waiting = 0
        self._seconds = 0.1  # that a picture takes, lately
        self._probes = {
            "log": Probe("the log", lambda: log.writable(), _PAUSE),
            "shelf": Probe("the folder of the pictures", lambda: shelf.writable(), _PAUSE),
        }
        self._taken: SimpleQueue[Job | None] = SimpleQueue()
        self._finished: Line = SimpleQueue()
        self._disk = DaemonExecutor(self._size, "disk")
        self._looker = Looker(shelf=shelf, shadow=self._shadow, beside=self._disk)
        self._workers: list[threading.Thread] = []
        self._others: list[threading.Thread] = []
        self._minders: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to load the bundle; pictures are taken once it is there."""
        self._workers = [_started("inspect", self._work) for _ in range(self._size)]
        self._others = [_started("log", self._book)]
        self._minders = [_started("mind", self._mind)]
        self._minders += [_started(f"probe {name}", probe.run) for name, probe in self._probes.items()]

    async def inspect(self, uploads: Sequence[Upload]) -> list[Record]:
        """Inspect some pictures; a bad one gives a record with an error.

        Who stops waiting finds the answers in the log nevertheless.

        Raises:
            DeskFull: too many wait already; a request is taken whole or not at all.
            DeskAway: the bundle, the log or the shelf is away, or the desk is closing; it names those that were logged.
        """
        at = time.time_ns() // 1_000_000
        jobs = [Job(upload=upload, at=at) for upload in uploads]
        self._take(jobs)
        answers = await asyncio.gather(*(asyncio.wrap_future(job.answer) for job in jobs), return_exceptions=True)
        records = [answer for answer in answers if not isinstance(answer, BaseException)]
        for fault in answers:
            if isinstance(fault, DeskAway):
                raise DeskAway(str(fault), records)
            if isinstance(fault, BaseException):
                raise fault
        return records

    def state(self) -> State:
        """How the desk stands just now; asks nobody, so it is quick."""
        loaded, shadow = self._bundle.loaded, self._shadow
        reasons = self._reasons()
        return State(
            ready=not reasons,
            reasons=reasons,
            model=loaded.inspector.name if loaded else None,
            threshold=loaded.inspector.threshold if loaded else None,
            has_evidence=loaded.inspector.has_evidence if loaded else False,
            manifest=loaded.inspector.manifest if loaded else None,
            shadow=shadow.loaded.inspector.name if shadow and shadow.loaded else None,
            shadow_fault=shadow.fault if shadow else "",
            waiting=self._waiting,
            repeats=self._repeats.total,
        )

    def drift(self) -> list[str]:
        """Sentences on how the latest pictures differ from those that the bundle was measured on."""
        return self._drift.sentences(self._bundle.loaded) if self._bundle.loaded else []

    async def close(self) -> None:
        """Take no more, finish and log what was taken, and end; what hangs is left behind after half a minute."""
        await asyncio.to_thread(self._close)

    def _take(self, jobs: Sequence[Job]) -> None:
        with self._lock:
            if reasons := self._reasons():
                raise DeskAway("; ".join(reasons))
            if self._waiting >= self._most:
                wait = math.ceil(self._waiting * self._seconds / self._size)
                raise DeskFull(self._waiting, min(max(wait, 1), _LONGEST_WAIT))
            self._waiting += len(jobs)
            for job in jobs:
                job.answer.set_running_or_notify_cancel()  # from here on nobody can cancel it: it will be logged
                job.answer.add_done_callback(self._count_down)
                self._taken.put(job)

    def _count_down(self, _: Future[Record]) -> None:
        with self._lock:
            self._waiting -= 1

    def _reasons(self) -> tuple[str, ...]:
        closing = "the station is closing" if self._closing else ""
        away = [probe.fault for probe in self._probes.values()]
        return tuple(reason for reason in (closing, self._bundle.fault, *away) if reason)

    def _work(self) -> None:
        """A worker takes one picture from its bytes to the entry, so no two cores wait for each other."""
        while job := self._taken.get():
            begun = time.perf_counter()
            assert self._bundle.loaded, "a picture was taken before there was a bundle"
            try:
                entry = self._looker.look(job.upload, job.at, self._bundle.loaded, alone=self._waiting == 1)
            except ShelfAway as error:
                job.answer.set_exception(DeskAway(self._probes["shelf"].note(error)))
            except Exception as error:  # a fault of ours: who waits shall know, and the next picture has its turn
                job.answer.set_exception(error)
            else:
                self._finished.put(Inspected(job=job, entry=entry))
            self._seconds = _STEADY * self._seconds + (1 - _STEADY) * (time.perf_counter() - begun)

    def _book(self) -> None:
        book(
            self._finished,
            self._log,
            self._repeats,
            queued=lambda: not self._taken.empty(),
            away=self._probes["log"].note,
        )

    def _mind(self) -> None:
        """Load what is not loaded."""
        while not self._over.is_set():
            self._bundle.try_to_load()
            if self._shadow:
                self._shadow.try_to_load()
            self._over.wait(_PAUSE)

    def _close(self) -> None:
        with self._lock:
            self._closing = True
        self._over.set()
        for probe in self._probes.values():
            probe.stop()
        for _ in self._workers:
            self._taken.put(None)
        end = time.monotonic() + _CLOSING
        _join(self._workers, end)
        self._finished.put(None)
        _join(self._others, max(end, time.monotonic() + _PAUSE))
        _join(self._minders, time.monotonic() + _PAUSE)
        self._disk.shutdown()


def _join(threads: Sequence[threading.Thread], end: float) -> None:
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
        if thread.is_alive():
            _logger.warning("The thread %r hangs and is left behind; what it was doing is not finished", thread.name)


def _started(name: str, target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
