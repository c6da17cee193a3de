"""The route that inspects."""

import time
from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
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
from clearcast.station.api.workers import Pools, Workers
from clearcast.station.desk import DeskAway, Upload
from clearcast.station.records import Record

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


Budget = Annotated[MemoryBudget, Depends(_budget_of)]
Names = Annotated[StationNames, Depends(_names_of)]


@router.post(
    "/v1/inspect",
    dependencies=[Depends(operator)],
    response_model=Inspections,
    responses=told(400, 408, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": _FORM},
)
async def inspect(
    request: Request, station: Here, metrics: Measured, budget: Budget, names: Names, pools: Workers, prefix: Prefix
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
            logged = error.logged
            told = await pools.inspecting.run(lambda: _answer(logged, station, prefix))
            return away_problem(error, members=told.model_dump(mode="json"))
    metrics.saw(records, time.perf_counter() - begun)
    answer = await pools.inspecting.run(lambda: _answer(records, station, prefix))
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
    inspected = iter(await station.desk.inspect(uploads) if uploads else [])
    logged = iter(await pools.inspecting.run(lambda: _log(station, refused)) if refused else [])
    return [next(inspected if isinstance(one, Upload) else logged) for one in sifted]


def _log(station: Station, refused: Sequence[tuple[Refusal, ReceivedFile]]) -> list[Record]:
    entries = [entry_of(refusal, file, station) for refusal, file in refused]
    ids = station.log.write(entries)
    return [Record(id=number, entry=entry) for number, entry in zip(ids, entries, strict=True)]


def _answer(records: Sequence[Record], station: Station, prefix: str) -> Inspections:
    return Inspections(inspections=[LoggedInspection.of(record, station.shelf, prefix) for record in records])


def _status(sifted: Sequence[Upload | Refusal]) -> int:
    """What is wrong where nothing could be inspected: the same with all, or several things."""
    found = {one.status if isinstance(one, Refusal) else 422 for one in sifted}
    return found.pop() if len(found) == 1 else 422
