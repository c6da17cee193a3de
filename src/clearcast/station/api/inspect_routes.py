"""Route that inspects uploaded images."""

import time
from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response

from clearcast.station.api.access import StationDep, require_operator
from clearcast.station.api.health_routes import MetricsDep
from clearcast.station.api.memory_budget import UploadMemoryBudget
from clearcast.station.api.multipart import ReceivedFile, receive_form
from clearcast.station.api.problems import problem_response, problem_responses, unavailable_response
from clearcast.station.api.schemas import Inspections, LoggedInspection
from clearcast.station.api.settings import PathPrefixDep, Station
from clearcast.station.api.upload_checks import (
    RejectedUpload,
    StationNameRegistry,
    check_uploads,
    make_rejected_entry,
    resolve_station_name,
)
from clearcast.station.api.workers import WorkerPool, WorkerPools, WorkerPoolsDep
from clearcast.station.image_store import ImageStore
from clearcast.station.log import LogUnavailable
from clearcast.station.records import InspectionRecord
from clearcast.station.service import ImageUpload, ServiceUnavailable, public_message

_STORE_SECONDS = 2.0  # that a response waits for the image store; the inspections are logged already
_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "additionalProperties": False,
                "properties": {
                    "files": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "JPEG, PNG, BMP, TIFF or WebP",
                    },
                    "station": {"type": "string", "maxLength": 100, "description": "name of the sending station"},
                },
            },
            "encoding": {"files": {"contentType": "image/jpeg, image/png, image/bmp, image/tiff, image/webp"}},
        }
    },
}

router = APIRouter(tags=["inspect"])


async def _get_upload_budget(request: Request) -> UploadMemoryBudget:
    return cast(UploadMemoryBudget, request.app.state.upload_budget)


async def _get_station_names(request: Request) -> StationNameRegistry:
    return cast(StationNameRegistry, request.app.state.station_names)


def make_response_pool() -> WorkerPool:
    """Create the pool that asks the image store which images it holds; a hanging drive blocks only this pool."""
    return WorkerPool("answering", threads=4, queue_size=64, timeout=_STORE_SECONDS)


async def _get_response_pool(request: Request) -> WorkerPool:
    return cast(WorkerPool, request.app.state.response_pool)


UploadBudgetDep = Annotated[UploadMemoryBudget, Depends(_get_upload_budget)]
StationNamesDep = Annotated[StationNameRegistry, Depends(_get_station_names)]
ResponsePoolDep = Annotated[WorkerPool, Depends(_get_response_pool)]


@router.post(
    "/v1/inspect",
    dependencies=[Depends(require_operator)],
    response_model=Inspections,
    responses=problem_responses(400, 408, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": _FORM},
)
async def inspect(
    request: Request,
    station: StationDep,
    metrics: MetricsDep,
    budget: UploadBudgetDep,
    names: StationNamesDep,
    pools: WorkerPoolsDep,
    response_pool: ResponsePoolDep,
    prefix: PathPrefixDep,
) -> Response:
    """Inspect one or more images; all of them are logged before the response.

    An image that cannot be inspected, among others that can, is an inspection with an `error`. If none can, the
    response is a problem that lists the logged inspections in its member `inspections`. The same holds if the log or
    the image store becomes unavailable: send the remaining images again.
    """
    _require_ready(station)
    form = await receive_form(request, station.limits, budget)
    started = time.perf_counter()
    with budget.holding(form.held):
        name = resolve_station_name(form, station)
        if name != station.name:
            await pools.inspecting.run(lambda: names.admit(name))
        checked = await pools.inspecting.run(lambda: check_uploads(form.files, name, station.limits))
        try:
            records = await _inspect(station, pools, form.files, checked)
        except ServiceUnavailable as error:
            if not error.logged:
                raise
            partial = await _to_json(error.logged, station, prefix, response_pool)
            return unavailable_response(error, members=partial.model_dump(mode="json"))
    metrics.count_inspections(records, time.perf_counter() - started)
    result = await _to_json(records, station, prefix, response_pool)
    if any(record.entry.width is not None for record in records):  # decoded: a success, even if the camera is frozen
        return Response(result.model_dump_json(), media_type="application/json")  # not validated a second time
    members = result.model_dump(mode="json")
    return problem_response(
        _error_status(checked), "; ".join(record.entry.error for record in records), members=members
    )


def _require_ready(station: Station) -> None:
    """Check that the station can inspect, before the images are received.

    Raises:
        ServiceUnavailable: it cannot.
    """
    state = station.service.state()
    if not state.ready:
        raise ServiceUnavailable("; ".join(state.reasons) or "the station is not ready")


async def _inspect(
    station: Station, pools: WorkerPools, files: Sequence[ReceivedFile], checked: Sequence[ImageUpload | RejectedUpload]
) -> list[InspectionRecord]:
    """Inspect and log all files, in their order; rejected ones are logged last, so not at all if the queue is full."""
    uploads = [one for one in checked if isinstance(one, ImageUpload)]
    rejections = [(one, file) for one, file in zip(checked, files, strict=True) if isinstance(one, RejectedUpload)]
    inspected = await station.service.inspect(uploads) if uploads else []
    try:
        logged = await pools.inspecting.run(lambda: _log_rejected(station, rejections)) if rejections else []
    except (LogUnavailable, HTTPException) as error:
        if not inspected:
            raise
        reason = public_message(error) if isinstance(error, LogUnavailable) else error.detail
        raise ServiceUnavailable(reason, inspected) from error
    accepted, rejected = iter(inspected), iter(logged)
    return [next(accepted if isinstance(one, ImageUpload) else rejected) for one in checked]


def _log_rejected(
    station: Station, rejections: Sequence[tuple[RejectedUpload, ReceivedFile]]
) -> list[InspectionRecord]:
    entries = [make_rejected_entry(rejected, file, station) for rejected, file in rejections]
    ids = station.log.write(entries)
    return [InspectionRecord(id=number, entry=entry) for number, entry in zip(ids, entries, strict=True)]


async def _to_json(records: Sequence[InspectionRecord], station: Station, prefix: str, pool: WorkerPool) -> Inspections:
    """Convert logged inspections; if the image store does not respond in time, without asking it."""
    try:
        return await pool.run(lambda: _inspections(records, station.image_store, prefix))
    except HTTPException:
        return _inspections(records, None, prefix)


def _inspections(records: Sequence[InspectionRecord], store: ImageStore | None, prefix: str) -> Inspections:
    return Inspections(inspections=[LoggedInspection.of(record, store, prefix) for record in records])


def _error_status(checked: Sequence[ImageUpload | RejectedUpload]) -> int:
    """Return the HTTP status if nothing could be inspected: the common one of all files, else 422."""
    statuses = {one.status if isinstance(one, RejectedUpload) else 422 for one in checked}
    return statuses.pop() if len(statuses) == 1 else 422
