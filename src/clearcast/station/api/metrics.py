"""What Prometheus is told. Times of answers are from the end of the upload to the logged answer."""

from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from clearcast.station.desk import Desk
from clearcast.station.records import Record

_BUCKETS = (0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counts since the station was started."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._inspections = Counter(
            "clearcast_inspections", "Pictures by verdict and noise type", ["verdict", "noise_type"], registry=registry
        )
        self._answers = Histogram(
            "clearcast_answer_seconds", "From a whole request to its answer", buckets=_BUCKETS, registry=registry
        )
        self._inference = Histogram(
            "clearcast_inference_seconds", "Inference of a picture", buckets=_BUCKETS, registry=registry
        )
        self._refused = Counter("clearcast_refused", "Requests refused, by HTTP status", ["status"], registry=registry)
        self._drift = Gauge("clearcast_drift", "Sentences about drift of the latest pictures", registry=registry)
        repeats = Gauge("clearcast_repeats", "Pictures that equalled their sender's one before", registry=registry)
        repeats.set_function(lambda: desk.state().repeats)
        waiting = Gauge("clearcast_waiting", "Pictures that wait to be inspected", registry=registry)
        waiting.set_function(lambda: desk.state().waiting)
        ready = Gauge("clearcast_ready", "Whether pictures can be inspected: 1 or 0", registry=registry)
        ready.set_function(lambda: desk.state().ready)

    def saw(self, records: Sequence[Record], seconds: float) -> None:
        """Count one request's inspections."""
        self._answers.observe(seconds)
        for entry in (record.entry for record in records):
            verdict = "error" if entry.error else entry.verdict or "none"
            self._inspections.labels(verdict, entry.noise_type or "unknown").inc()
            if entry.ms is not None:
                self._inference.observe(entry.ms / 1000)

    def refused(self, status: int) -> None:
        """Count one request that was answered with an error."""
        self._refused.labels(str(status)).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' format; drift is computed here, at most once a minute."""
        self._drift.set(len(self._desk.drift()))
        return generate_latest(self._registry)


async def metrics_of(request: Request) -> Metrics:
    """The counts of the app that answers."""
    return cast(Metrics, request.app.state.metrics)


Measured = Annotated[Metrics, Depends(metrics_of)]
