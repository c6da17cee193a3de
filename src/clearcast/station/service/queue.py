"""Inspection service: a bounded job queue, worker threads, a log writer and threads that reconnect failed back ends."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue

from clearcast.bundle.signing import TrustedSigners
from clearcast.inference.inspector import available_cores
from clearcast.station.image_store import ImageStore, StoreUnavailable
from clearcast.station.log import InspectionLog
from clearcast.station.records import InspectionRecord
from clearcast.station.service.jobs import DaemonExecutor, JobRunner
from clearcast.station.service.lazy_bundle import LazyBundle
from clearcast.station.service.log_writer import (
    FinishedJob,
    FinishedQueue,
    InspectionJob,
    log_finished_jobs,
)
from clearcast.station.service.monitors import DriftMonitor, RepeatedImageCounter
from clearcast.station.service.state import HealthProbe, ImageUpload, QueueFull, ServiceStatus, ServiceUnavailable

_RETRY_INTERVAL = 2.0  # seconds between two attempts to reconnect a back end or to load a bundle
_SHUTDOWN_TIMEOUT = 30.0  # seconds for the threads to finish accepted jobs; they may hang with a disk
_MAX_RETRY_AFTER = 60  # seconds
_SMOOTHING = 0.9  # weight of the previous value in the moving average of an image's duration
_logger = logging.getLogger("uvicorn.error")


class InspectionService:
    """Inspects uploads; every result is logged and its images are stored before it is returned.

    Args:
        bundle: gives the verdicts; loaded in the background as soon as it becomes available.
        log: receives the inspections.
        image_store: receives the images.
        shadow: a second bundle, whose result is logged too.
        trust: the signature that both bundles must have; None: none.
        threads: number of workers; None: one per CPU core.
        waiting: number of images without a result from which further requests are refused.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        log: InspectionLog,
        image_store: ImageStore,
        shadow: Path | None = None,
        trust: TrustedSigners | None = None,
        threads: int | None = None,
        waiting: int = 64,
    ) -> None:
        self._log = log
        self._workers_count = threads or available_cores()
        self._queue_limit = waiting
        self._bundle = LazyBundle(bundle, self._workers_count, trust)
        image_store.denoiser = self._bundle
        self._shadow = LazyBundle(shadow, self._workers_count, trust) if shadow else None
        self._drift = DriftMonitor(log)
        self._repeats = RepeatedImageCounter()
        self._lock = threading.Lock()  # guards the counters below; no job is accepted after closing
        self._closing = False
        self._stopping = threading.Event()
        self._waiting = 0
        self._mean_seconds = 0.1  # moving average of an image's duration
        self._probes = {
            "log": HealthProbe("the log", lambda: log.check_writable(), _RETRY_INTERVAL),
            "image store": HealthProbe("the image store", lambda: image_store.check_writable(), _RETRY_INTERVAL),
        }
        self._queue: SimpleQueue[InspectionJob | None] = SimpleQueue()
        self._finished: FinishedQueue = SimpleQueue()
        self._disk_writer = DaemonExecutor(self._workers_count, "disk")
        self._runner = JobRunner(image_store=image_store, shadow=self._shadow, disk_writer=self._disk_writer)
        self._workers: list[threading.Thread] = []
        self._log_writers: list[threading.Thread] = []
        self._connectors: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads; uploads are accepted once the bundle is loaded."""
        self._workers = [_start_thread("inspect", self._work) for _ in range(self._workers_count)]
        self._log_writers = [_start_thread("log", self._write_log)]
        self._connectors = [_start_thread("load", self._load_bundles)]
        self._connectors += [_start_thread(f"probe {name}", probe.run) for name, probe in self._probes.items()]

    async def inspect(self, uploads: Sequence[ImageUpload]) -> list[InspectionRecord]:
        """Inspect uploads; one that cannot be decoded gives a record with an error.

        If the caller stops waiting, the inspections are logged nevertheless.

        Raises:
            QueueFull: the queue is full; a request is accepted whole or not at all.
            ServiceUnavailable: the bundle, the log or the image store is unavailable, or the service is closing; it
                holds the records that were logged.
        """
        at = time.time_ns() // 1_000_000
        jobs = [InspectionJob(upload=upload, at=at) for upload in uploads]
        self._accept(jobs)
        results = await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs), return_exceptions=True)
        records = [result for result in results if not isinstance(result, BaseException)]
        for fault in results:
            if isinstance(fault, ServiceUnavailable):
                raise ServiceUnavailable(str(fault), records)
            if isinstance(fault, BaseException):
                raise fault
        return records

    def state(self) -> ServiceStatus:
        """Return the current status; never blocks."""
        loaded, shadow = self._bundle.loaded, self._shadow
        reasons = self._reasons()
        return ServiceStatus(
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
        """Describe in sentences how the latest images differ from the bundle's drift reference."""
        return self._drift.sentences(self._bundle.loaded) if self._bundle.loaded else []

    async def close(self) -> None:
        """Finish and log the accepted jobs and stop; abandon threads that still hang after half a minute."""
        await asyncio.to_thread(self._close)

    def _accept(self, jobs: Sequence[InspectionJob]) -> None:
        with self._lock:
            if reasons := self._reasons():
                raise ServiceUnavailable("; ".join(reasons))
            if self._waiting >= self._queue_limit:
                wait = math.ceil(self._waiting * self._mean_seconds / self._workers_count)
                raise QueueFull(self._waiting, min(max(wait, 1), _MAX_RETRY_AFTER))
            self._waiting += len(jobs)
            for job in jobs:
                job.future.set_running_or_notify_cancel()  # from here on it cannot be cancelled: it will be logged
                job.future.add_done_callback(self._decrement_waiting)
                self._queue.put(job)

    def _decrement_waiting(self, _: Future[InspectionRecord]) -> None:
        with self._lock:
            self._waiting -= 1

    def _reasons(self) -> tuple[str, ...]:
        closing = "the station is closing" if self._closing else ""
        faults = [probe.fault for probe in self._probes.values()]
        return tuple(reason for reason in (closing, self._bundle.fault, *faults) if reason)

    def _work(self) -> None:
        """Inspect jobs from the queue; one worker does all stages of an image, so that no core waits for another."""
        while job := self._queue.get():
            started = time.perf_counter()
            assert self._bundle.loaded, "a job was accepted before the bundle was loaded"
            try:
                entry = self._runner.run(job.upload, job.at, self._bundle.loaded, alone=self._waiting == 1)
            except StoreUnavailable as error:
                job.future.set_exception(ServiceUnavailable(self._probes["image store"].report_failure(error)))
            except Exception as error:  # a bug: report it to the caller and continue with the next job
                job.future.set_exception(error)
            else:
                self._finished.put(FinishedJob(job=job, entry=entry))
            self._mean_seconds = _SMOOTHING * self._mean_seconds + (1 - _SMOOTHING) * (time.perf_counter() - started)

    def _write_log(self) -> None:
        log_finished_jobs(
            self._finished,
            self._log,
            self._repeats,
            queued=lambda: not self._queue.empty(),
            log_failed=self._probes["log"].report_failure,
        )

    def _load_bundles(self) -> None:
        """Try to load the bundles until the service stops."""
        while not self._stopping.is_set():
            self._bundle.try_to_load()
            if self._shadow:
                self._shadow.try_to_load()
            self._stopping.wait(_RETRY_INTERVAL)

    def _close(self) -> None:
        with self._lock:
            self._closing = True
        self._stopping.set()
        for probe in self._probes.values():
            probe.stop()
        for _ in self._workers:
            self._queue.put(None)
        end = time.monotonic() + _SHUTDOWN_TIMEOUT
        _join(self._workers, end)
        self._finished.put(None)
        _join(self._log_writers, max(end, time.monotonic() + _RETRY_INTERVAL))
        _join(self._connectors, time.monotonic() + _RETRY_INTERVAL)
        self._disk_writer.shutdown()


def _join(threads: Sequence[threading.Thread], end: float) -> None:
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
        if thread.is_alive():
            _logger.warning("The thread %r does not end and is abandoned; its work is not finished", thread.name)


def _start_thread(name: str, target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
