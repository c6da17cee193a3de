"""The route that inspects."""

import time
from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response

from clearcast.station.api.budget import MemoryBudget
from clearcast.station.api.documents import told
from clearcast.station.api.forms import ReceivedFile, receive_form
from clearcast.station.api.gate import Refusal
from clearcast.station.api.metrics import Measured
from clearcast.station.api.models import Inspections, LoggedInspection
from clearcast.station.api.names import StationNames
from clearcast.station.api.prefix import Prefix
from clearcast.station.api.problems import away_problem, problem
from clearcast.station.api.roles import Here, operator
from clearcast.station.api.station import Station
from clearcast.station.api.uploads import entry_of, sift_all, station_name
from clearcast.station.api.workers import Pools, WorkerPool, Workers
from clearcast.station.desk import DeskAway, Upload, told_to_all
from clearcast.station.log import LogAway
from clearcast.station.records import Record
from clearcast.station.shelf import Shelf

_SHELF_SECONDS = 2.0  # that an answer waits for the folder of pictures; what it tells is logged already
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
                    "station": {"type": "string", "maxLength": 100, "description": "which station or line sends them"},
                },
            },
            "encoding": {"files": {"contentType": "image/jpeg, image/png, image/bmp, image/tiff, image/webp"}},
        }
    },
}

router = APIRouter(tags=["inspect"])


async def _budget_of(request: Request) -> MemoryBudget:
    return cast(MemoryBudget, request.app.state.budget)


async def _names_of(request: Request) -> StationNames:
    return cast(StationNames, request.app.state.names)


def answering_pool() -> WorkerPool:
    """Threads that ask the shelf which pictures of logged inspections it holds; a hung drive blocks only these."""
    return WorkerPool("answering", threads=4, waiting=64, patience=_SHELF_SECONDS)


async def _answering_of(request: Request) -> WorkerPool:
    return cast(WorkerPool, request.app.state.answering)


Budget = Annotated[MemoryBudget, Depends(_budget_of)]
Names = Annotated[StationNames, Depends(_names_of)]
Answering = Annotated[WorkerPool, Depends(_answering_of)]


@router.post(
    "/v1/inspect",
    dependencies=[Depends(operator)],
    response_model=Inspections,
    responses=told(400, 408, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": _FORM},
)
async def inspect(
    request: Request,
    station: Here,
    metrics: Measured,
    budget: Budget,
    names: Names,
    pools: Workers,
    answering: Answering,
    prefix: Prefix,
) -> Response:
    """Inspect one picture or several; when the answer is there, all of them are in the log.

    A picture that cannot be inspected, among others that can, is an inspection with an `error`. Where none can, the
    answer is a problem with the logged ones as its member `inspections`. So it is if the log or the folder of pictures
    goes away meanwhile: send the others again.
    """
    _require_ready(station)
    form = await receive_form(request, station.limits, budget)
    begun = time.perf_counter()
    with budget.holding(form.held):
        name = station_name(form, station)
        if name != station.name:
            await pools.inspecting.run(lambda: names.admit(name))
        sifted = await pools.inspecting.run(lambda: sift_all(form.files, name, station.limits))
        try:
            records = await _inspect(station, pools, form.files, sifted)
        except DeskAway as error:
            if not error.logged:
                raise
            told = await _answer(error.logged, station, prefix, answering)
            return away_problem(error, members=told.model_dump(mode="json"))
    metrics.saw(records, time.perf_counter() - begun)
    answer = await _answer(records, station, prefix, answering)
    if any(record.entry.width is not None for record in records):  # it is an answer, also if a frozen camera sent it
        return Response(answer.model_dump_json(), media_type="application/json")  # not validated another time
    members = answer.model_dump(mode="json")
    return problem(_status(sifted), "; ".join(record.entry.error for record in records), members=members)


def _require_ready(station: Station) -> None:
    """Before a picture is read in vain.

    Raises:
        DeskAway: nothing can be inspected just now.
    """
    state = station.desk.state()
    if not state.ready:
        raise DeskAway("; ".join(state.reasons) or "the station is not ready")


async def _inspect(
    station: Station, pools: Pools, files: Sequence[ReceivedFile], sifted: Sequence[Upload | Refusal]
) -> list[Record]:
    """All are logged, in the order of the files; those refused last, so that a full desk leaves no trace of them."""
    uploads = [one for one in sifted if isinstance(one, Upload)]
    refused = [(one, file) for one, file in zip(sifted, files, strict=True) if isinstance(one, Refusal)]
    inspected = await station.desk.inspect(uploads) if uploads else []
    try:
        logged = await pools.inspecting.run(lambda: _log(station, refused)) if refused else []
    except (LogAway, HTTPException) as error:
        if not inspected:
            raise
        reason = told_to_all(error) if isinstance(error, LogAway) else error.detail
        raise DeskAway(reason, inspected) from error
    ready, rejected = iter(inspected), iter(logged)
    return [next(ready if isinstance(one, Upload) else rejected) for one in sifted]


def _log(station: Station, refused: Sequence[tuple[Refusal, ReceivedFile]]) -> list[Record]:
    entries = [entry_of(refusal, file, station) for refusal, file in refused]
    ids = station.log.write(entries)
    return [Record(id=number, entry=entry) for number, entry in zip(ids, entries, strict=True)]


async def _answer(records: Sequence[Record], station: Station, prefix: str, pool: WorkerPool) -> Inspections:
    """What is told of logged inspections; if the folder of pictures does not answer in time, without asking it."""
    try:
        return await pool.run(lambda: _inspections(records, station.shelf, prefix))
    except HTTPException:
        return _inspections(records, None, prefix)


def _inspections(records: Sequence[Record], shelf: Shelf | None, prefix: str) -> Inspections:
    return Inspections(inspections=[LoggedInspection.of(record, shelf, prefix) for record in records])


def _status(sifted: Sequence[Upload | Refusal]) -> int:
    """What is wrong where nothing could be inspected: the same with all, or several things."""
    found = {one.status if isinstance(one, Refusal) else 422 for one in sifted}
    return found.pop() if len(found) == 1 else 422
