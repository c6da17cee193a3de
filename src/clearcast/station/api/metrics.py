"""Prometheus metrics. Response times are from the end of the upload to the logged result."""

from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from clearcast.station.desk import Desk
from clearcast.station.records import Record

_BUCKETS = (0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Metrics since the start of the station."""

    def __init__(self, service: Desk) -> None:
        self._service = service
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._inspections = Counter(
            "clearcast_inspections", "Images by verdict and noise type", ["verdict", "noise_type"], registry=registry
        )
        self._responses = Histogram(
            "clearcast_answer_seconds", "From a complete request to its response", buckets=_BUCKETS, registry=registry
        )
        self._inference = Histogram(
            "clearcast_inference_seconds", "Inference time of an image", buckets=_BUCKETS, registry=registry
        )
        self._errors = Counter("clearcast_refused", "Error responses by HTTP status", ["status"], registry=registry)
        self._drift = Gauge("clearcast_drift", "Drift findings in the latest images", registry=registry)
        repeats = Gauge("clearcast_repeats", "Images equal to the previous one of their sender", registry=registry)
        repeats.set_function(lambda: service.state().repeats)
        waiting = Gauge("clearcast_waiting", "Images waiting for inspection", registry=registry)
        waiting.set_function(lambda: service.state().waiting)
        ready = Gauge("clearcast_ready", "Whether images can be inspected: 1 or 0", registry=registry)
        ready.set_function(lambda: service.state().ready)

    def count_inspections(self, records: Sequence[Record], seconds: float) -> None:
        """Count the inspections of one request, and its response time."""
        self._responses.observe(seconds)
        for entry in (record.entry for record in records):
            verdict = "error" if entry.error else entry.verdict or "none"
            self._inspections.labels(verdict, entry.noise_type or "unknown").inc()
            if entry.ms is not None:
                self._inference.observe(entry.ms / 1000)

    def count_error(self, status: int) -> None:
        """Count one error response."""
        self._errors.labels(str(status)).inc()

    def render(self) -> bytes:
        """Format all metrics for Prometheus; drift is computed here, at most once a minute."""
        self._drift.set(len(self._service.drift()))
        return generate_latest(self._registry)


async def metrics_of(request: Request) -> Metrics:
    """Get the metrics of the application, as a FastAPI dependency."""
    return cast(Metrics, request.app.state.metrics)


Measured = Annotated[Metrics, Depends(metrics_of)]
