"""Folder watch: inspects images as they arrive in a folder.

The folder is polled, which works on every file system, also on network drives. The results file tells which images are
new: see ``arrivals``.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Protocol

from clearcast.inference.alerts import AlertDispatcher
from clearcast.inference.arrivals import ArrivalDetector
from clearcast.inference.frozen_camera import RepeatDetector
from clearcast.inference.sinks import ResultsWriter
from clearcast.inference.sources import SourceItem
from clearcast.types import Inspection, Verdict

POLL_SECONDS = 0.25  # seconds between two polls of the folder
_MIN_PAUSE_RATIO = 2.0  # of a pause to the poll before it, so that a large folder does not keep a core busy
_BATCH_SECONDS = 1.0  # the folder is polled again after a batch of this duration ...
_BATCH_RATIO = 5.0  # ... or this many times that of a poll


class ImagePredictor(Protocol):
    """Interface of an inspector, as returned by ``clearcast.load``."""

    def predict(self, source: Iterable[SourceItem], /) -> Generator[Inspection, None, None]:
        """Yield one inspection per item, in their order."""


def watch_folder(
    inspector: ImagePredictor,
    arrivals: ArrivalDetector,
    writer: ResultsWriter,
    alerts: AlertDispatcher,
    *,
    stop: threading.Event,
    once: bool,
    on_inspection: Callable[[Inspection], None],
) -> int:
    """Write a row for each new image, and send alerts for defects, retakes and images without a verdict.

    The row is written before the alert is sent: if the process is killed in between, the alert is lost.

    Args:
        inspector: inspects images.
        arrivals: of the watched folder.
        writer: of a live results file.
        alerts: send alerts for all verdicts but ok.
        stop: ends the watch after the current image.
        once: end when no image is pending.
        on_inspection: called with each inspection after its row is written; it must not block.

    Returns:
        Number of images that equal the previous one.
    """
    repeats = RepeatDetector()

    def record(result: Inspection) -> None:
        inspection = repeats.check(result)
        writer.write(inspection)
        if inspection.error or inspection.verdict in {Verdict.DEFECT, Verdict.RETAKE}:
            alerts.send(inspection)  # for an error too: no part passes uninspected
        on_inspection(inspection)

    while not stop.is_set():
        started = time.monotonic()
        ready = arrivals.poll()
        duration = time.monotonic() - started
        for lost in arrivals.pop_lost():
            record(lost)
        if once and not arrivals.pending:
            break
        batch = _take_for(ready, max(_BATCH_SECONDS, _BATCH_RATIO * duration))
        if not ready or not _inspect_batch(inspector.predict(batch), arrivals, record, stop):
            stop.wait(max(POLL_SECONDS, _MIN_PAUSE_RATIO * duration))
    return repeats.total


def _take_for(ready: Iterable[SourceItem], seconds: float) -> Iterator[SourceItem]:
    """Yield items for some seconds; then the folder is polled again, since a later file may be overwritten by now."""
    end = time.monotonic() + seconds
    for item in ready:
        yield item
        if time.monotonic() > end:
            return


def _inspect_batch(
    inspections: Generator[Inspection, None, None],
    arrivals: ArrivalDetector,
    record: Callable[[Inspection], None],
    stop: threading.Event,
) -> int:
    """Record the inspections that are final; returns their number."""
    written = 0
    with closing(inspections):
        for inspection in inspections:
            if arrivals.accept(inspection):
                record(inspection)
                written += 1
            if stop.is_set():
                break
    return written
