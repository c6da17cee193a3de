"""The routes that say how the station stands."""

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

_AGAIN = 5  # seconds after which it is worth while to ask again

router = APIRouter(tags=["station"])


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the station runs at all."""
    return Health(status="ok")


@router.get("/readyz", response_model=Health, responses=told(503))
async def readyz(request: Request, station: Here) -> Health | JSONResponse:
    """Whether it can inspect, log and keep pictures, as it found lately; those who may look are told why not."""
    reasons = station.desk.state().reasons
    if not reasons:
        return Health(status="ready")
    seen = list(reasons) if access_of(request).role_of(request) else []
    detail = "; ".join(seen) or "not ready; a token of this station is needed to see why"
    return problem(503, detail, headers=retry_after(_AGAIN), members={"reasons": seen})


@router.get(
    "/metrics",
    dependencies=[Depends(reader)],
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **told(429, 503)},
)
async def metrics(request: Request, measured: Measured, pools: Workers) -> PlainTextResponse:
    """What Prometheus asks for."""
    text = await pools.lookups.run(measured.text, request=request)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


@router.get("/v1/station", responses=told(429, 503))
async def facts(
    request: Request, station: Here, pools: Workers, role: Annotated[Role, Depends(reader)]
) -> StationFacts:
    """Which model inspects, whether it is ready, what is taken, and what the one who asks may do."""
    return await pools.lookups.run(lambda: _facts(station, role), request=request)


def _facts(station: Station, role: Role) -> StationFacts:
    state, limits = station.desk.state(), station.limits
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
    """None where the log is away: the page says that already."""
    try:
        return station.desk.drift()
    except ClearcastError:
        return []
