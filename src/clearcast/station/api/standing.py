"""Routes of health, readiness, metrics and status."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from clearcast import __version__
from clearcast.domain import NoiseType
from clearcast.errors import ClearcastError
from clearcast.station.api.documents import told
from clearcast.station.api.facts import Figures, Health, StationFacts, TakenLimits
from clearcast.station.api.metrics import Measured
from clearcast.station.api.problems import problem, retry_after
from clearcast.station.api.roles import Here, access_of, reader
from clearcast.station.api.station import Station
from clearcast.station.api.tokens import Role
from clearcast.station.api.workers import Workers

_RETRY_SECONDS = 5

router = APIRouter(tags=["station"])


@router.get("/healthz")
async def healthz() -> Health:
    """Liveness: whether the station runs."""
    return Health(status="ok")


@router.get("/readyz", response_model=Health, responses=told(503))
async def readyz(request: Request, station: Here) -> Health | JSONResponse:
    """Readiness: whether the station can inspect, log and store images; the reasons are shown only with a token."""
    reasons = station.service.state().reasons
    if not reasons:
        return Health(status="ready")
    visible = list(reasons) if access_of(request).role_of(request) else []
    detail = "; ".join(visible) or "Not ready; send a token of this station to see why"
    return problem(503, detail, headers=retry_after(_RETRY_SECONDS), members={"reasons": visible})


@router.get(
    "/metrics",
    dependencies=[Depends(reader)],
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **told(429, 503)},
)
async def metrics(request: Request, measured: Measured, pools: Workers) -> PlainTextResponse:
    """Prometheus metrics."""
    text = await pools.lookups.run(measured.render, request=request)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


@router.get("/v1/station", responses=told(429, 503))
async def facts(
    request: Request, station: Here, pools: Workers, role: Annotated[Role, Depends(reader)]
) -> StationFacts:
    """Status of the station: model, readiness, upload limits, measured rates, and the role of the client."""
    return await pools.lookups.run(lambda: _facts(station, role), request=request)


def _facts(station: Station, role: Role) -> StationFacts:
    state, limits = station.service.state(), station.limits
    return StationFacts(
        version=__version__,
        model=state.model,
        threshold=state.threshold,
        shadow=state.shadow,
        shadow_fault=state.shadow_fault,
        ready=state.ready,
        reasons=list(state.reasons),
        role=role,
        limits=TakenLimits(bytes=limits.bytes, pixels=limits.pixels, files=limits.files),
        drift=_drift(station),
        repeats=state.repeats,
        noise_types=list(NoiseType),
        station=station.name,
        measured=Figures.of(state.manifest["measured"]) if state.manifest else None,
    )


def _drift(station: Station) -> list[str]:
    """Drift findings; none if the log is unavailable, which the readiness reports already."""
    try:
        return station.service.drift()
    except ClearcastError:
        return []
