"""Routes for health, Prometheus metrics and the status of the station, with their schemas."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from pydantic import BaseModel, Field

from clearcast import __version__
from clearcast.core.errors import ClearcastError
from clearcast.core.evidence_schema import Evidence, Stage
from clearcast.noise.registry import NoiseType
from clearcast.station.api.access import StationDep, get_access_control, require_reader
from clearcast.station.api.problems import problem_response, problem_responses, retry_after_header
from clearcast.station.api.settings import Station
from clearcast.station.api.tokens import Role
from clearcast.station.api.workers import WorkerPoolsDep
from clearcast.station.records import InspectionRecord
from clearcast.station.service import InspectionService

_RETRY_SECONDS = 5
_BUCKETS = (0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds
_RATE_NAMES: tuple[Literal["accuracy", "escape", "overkill"], ...] = ("accuracy", "escape", "overkill")

router = APIRouter(tags=["station"])


class UploadLimitsStatus(BaseModel):
    """Upload limits: bytes and pixels of an image, files of a request."""

    bytes: int
    pixels: int
    files: int


class MeasuredRate(BaseModel):
    """Measured rate, 0..1, with its 95 % confidence interval."""

    value: float | None
    low: float | None
    high: float | None


class MeasuredRates(BaseModel):
    """Measured rates of the bundle on test images; null if it was not measured.

    `escape`: share of defects predicted ok. `overkill`: share of ok parts predicted defect.
    """

    images: int
    parts: int
    accuracy: MeasuredRate | None = None
    escape: MeasuredRate | None = None
    overkill: MeasuredRate | None = None

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """Convert from the evidence in a bundle's manifest, for verdicts on noisy images."""
        decision = evidence["decisions"].get(Stage.DENOISED)
        point = (decision["chosen"] or decision["plain"]) if decision else None
        rates = {name: MeasuredRate(**point[name]) for name in _RATE_NAMES} if point else {}
        return cls(images=evidence["images"], parts=evidence["parts"], **rates)


class StationStatus(BaseModel):
    """Status of the station, and the role of the client."""

    version: str
    model: str | None
    threshold: float | None
    shadow: str | None
    shadow_fault: Annotated[str, Field(description="why the shadow bundle gives no predictions")]
    ready: bool
    reasons: list[str]
    role: Role
    limits: UploadLimitsStatus
    drift: list[str]
    repeats: Annotated[int, Field(description="images since the start that equal the previous one of their sender")]
    noise_types: list[NoiseType]
    station: str
    measured: MeasuredRates | None


class Health(BaseModel):
    """Liveness or readiness of the station."""

    status: Literal["ok", "ready"]


class StationMetrics:
    """Metrics since the start of the station."""

    def __init__(self, service: InspectionService) -> None:
        self._service = service
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._inspections = Counter(
            "clearcast_inspections", "Images by verdict and noise type", ["verdict", "noise_type"], registry=registry
        )
        self._responses = Histogram(
            "clearcast_answer_seconds",
            "From a complete request to its response",
            buckets=_BUCKETS,
            registry=registry,
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

    def count_inspections(self, records: Sequence[InspectionRecord], seconds: float) -> None:
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


async def get_metrics(request: Request) -> StationMetrics:
    """Get the metrics of the application, as a FastAPI dependency."""
    return cast(StationMetrics, request.app.state.metrics)


MetricsDep = Annotated[StationMetrics, Depends(get_metrics)]


@router.get("/healthz")
async def healthz() -> Health:
    """Liveness: whether the station runs."""
    return Health(status="ok")


@router.get("/readyz", response_model=Health, responses=problem_responses(503))
async def readyz(request: Request, station: StationDep) -> Health | JSONResponse:
    """Readiness: whether the station can inspect, log and store images; the reasons are shown only with a token."""
    reasons = station.service.state().reasons
    if not reasons:
        return Health(status="ready")
    visible = list(reasons) if get_access_control(request).role_of(request) else []
    detail = "; ".join(visible) or "Not ready; send a token of this station to see why"
    return problem_response(503, detail, headers=retry_after_header(_RETRY_SECONDS), members={"reasons": visible})


@router.get(
    "/metrics",
    dependencies=[Depends(require_reader)],
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problem_responses(429, 503)},
)
async def metrics(request: Request, station_metrics: MetricsDep, pools: WorkerPoolsDep) -> PlainTextResponse:
    """Prometheus metrics."""
    text = await pools.lookups.run(station_metrics.render, request=request)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


@router.get("/v1/station", responses=problem_responses(429, 503))
async def facts(
    request: Request, station: StationDep, pools: WorkerPoolsDep, role: Annotated[Role, Depends(require_reader)]
) -> StationStatus:
    """Status of the station: model, readiness, upload limits, measured rates, and the role of the client."""
    return await pools.lookups.run(lambda: _station_status(station, role), request=request)


def _station_status(station: Station, role: Role) -> StationStatus:
    state, limits = station.service.state(), station.limits
    return StationStatus(
        version=__version__,
        model=state.model,
        threshold=state.threshold,
        shadow=state.shadow,
        shadow_fault=state.shadow_fault,
        ready=state.ready,
        reasons=list(state.reasons),
        role=role,
        limits=UploadLimitsStatus(bytes=limits.bytes, pixels=limits.pixels, files=limits.files),
        drift=_drift_findings(station),
        repeats=state.repeats,
        noise_types=list(NoiseType),
        station=station.name,
        measured=MeasuredRates.of(state.manifest["measured"]) if state.manifest else None,
    )


def _drift_findings(station: Station) -> list[str]:
    """Return the drift findings; none if the log is unavailable, which the readiness reports already."""
    try:
        return station.service.drift()
    except ClearcastError:
        return []
