"""The route that inspects."""

import time
from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from clearcast.station.api.documents import told
from clearcast.station.api.gate import Refusal
from clearcast.station.api.metrics import Measured
from clearcast.station.api.models import Inspections, LoggedInspection
from clearcast.station.api.problems import problem
from clearcast.station.api.roles import Here, operator
from clearcast.station.api.station import Station
from clearcast.station.api.uploads import Held, entry_of, files_of, read_form, sift_all, station_name
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


def _held(request: Request) -> Held:
    return cast(Held, request.app.state.held)


@router.post(
    "/v1/inspect",
    dependencies=[Depends(operator)],
    response_model=Inspections,
    responses=told(400, 408, 413, 415, 422, 429, 503),
    openapi_extra={"requestBody": _FORM},
)
async def inspect(
    request: Request, station: Here, metrics: Measured, held: Annotated[Held, Depends(_held)]
) -> Response:
    """Inspect one picture or several; when the answer is there, all of them are in the log.

    A picture that cannot be inspected, among others that can, is an inspection with an `error`. Where none can, the
    answer is a problem with the logged ones as its member `inspections`.
    """
    _require_ready(station)
    form = await read_form(request)
    try:
        begun = time.perf_counter()
        files = files_of(form, station.limits)
        with held.holding(sum(file.size or 0 for file in files)):
            sifted = await sift_all(files, station_name(form, station), station.limits)
            records = await _inspect(station, sifted)
    finally:
        await form.close()
    metrics.saw(records, time.perf_counter() - begun)
    answer = Inspections(inspections=[LoggedInspection.of(record, station.shelf) for record in records])
    if any(not record.entry.error for record in records):
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


async def _inspect(station: Station, sifted: Sequence[Upload | Refusal]) -> list[Record]:
    """All are logged, in the order of the files; those refused last, so that a full desk leaves no trace of them."""
    uploads = [one for one in sifted if isinstance(one, Upload)]
    refusals = [one for one in sifted if isinstance(one, Refusal)]
    inspected = iter(await station.desk.inspect(uploads) if uploads else [])
    logged = iter(await run_in_threadpool(_log, station, refusals) if refusals else [])
    return [next(inspected if isinstance(one, Upload) else logged) for one in sifted]


def _log(station: Station, refusals: Sequence[Refusal]) -> list[Record]:
    entries = [entry_of(refusal, station) for refusal in refusals]
    ids = station.log.write(entries)
    return [Record(id=number, entry=entry) for number, entry in zip(ids, entries, strict=True)]


def _status(sifted: Sequence[Upload | Refusal]) -> int:
    """What is wrong where nothing could be inspected: the same with all, or several things."""
    found = {one.status if isinstance(one, Refusal) else 422 for one in sifted}
    return found.pop() if len(found) == 1 else 422
