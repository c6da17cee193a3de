"""The routes that ask the log, and the one that adds what people say."""

import time
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Path, Request, Response

from clearcast.station.api.asking import Filtered, PageFilter, PageFiltered, TrendFiltered
from clearcast.station.api.budget import AnswerBudget
from clearcast.station.api.documents import told
from clearcast.station.api.export import Exports, Table
from clearcast.station.api.gate import kind_of
from clearcast.station.api.headers import PICTURE_POLICY
from clearcast.station.api.models import Choices, Count, InspectionsPage, LoggedInspection, NewFeedback, Trend
from clearcast.station.api.names import MOST_NAMES
from clearcast.station.api.prefix import Prefix
from clearcast.station.api.problems import refused
from clearcast.station.api.roles import Here, operator, reader
from clearcast.station.api.sending import PictureResponse
from clearcast.station.api.station import Station
from clearcast.station.api.workers import Workers
from clearcast.station.records import Entry, Feedback, Record

_KEPT_SECONDS = 365 * 24 * 3600  # what is stored under a hash never changes

router = APIRouter(tags=["history"], dependencies=[Depends(reader)])
Number = Annotated[int, Path(alias="id", ge=1, le=2**63 - 1)]
Kind = Literal["noisy", "restored", "heat", "thumbnail"]
_DRAWN = frozenset({"restored", "heat"})  # may take seconds


async def _exports(request: Request) -> Exports:
    return cast(Exports, request.app.state.exports)


async def _answers(request: Request) -> AnswerBudget:
    return cast(AnswerBudget, request.app.state.answers)


@router.get("/v1/inspections", responses=told(422, 429, 503))
async def inspections(
    request: Request, station: Here, pools: Workers, prefix: Prefix, asked: PageFiltered
) -> InspectionsPage:
    """Some inspections, and how to get those that follow."""
    return await pools.searches.run(lambda: _page(station, asked, prefix), request=request)


def _page(station: Station, asked: PageFilter, prefix: str) -> InspectionsPage:
    try:
        page = station.log.page(asked.wanted(), order=asked.order, after=asked.after or None, limit=asked.limit)
    except ValueError:
        raise refused(422, "after: not what a page of this order gave as 'next'; leave it out to begin anew") from None
    return InspectionsPage(
        inspections=[LoggedInspection.of(record, station.shelf, prefix) for record in page.records], next=page.next
    )


@router.get(
    "/v1/inspections.csv",
    status_code=200,  # FastAPI would look for it in the response class
    response_class=Table,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **told(422, 429, 503)},
)
async def inspections_csv(
    request: Request, station: Here, pools: Workers, asked: Filtered, exports: Annotated[Exports, Depends(_exports)]
) -> Table:
    """All inspections that are asked for, the newest first, as a table."""
    return await pools.trends.run(lambda: Table(exports.one(station.log.export(asked.wanted()))), request=request)


@router.get("/v1/counts", responses=told(422, 429, 503))
async def counts(request: Request, station: Here, pools: Workers, asked: Filtered) -> Count:
    """How many there are of all that is asked for."""
    return await pools.searches.run(lambda: Count.of(station.log.count(asked.wanted())), request=request)


@router.get("/v1/trend", responses=told(422, 429, 503))
async def trend(request: Request, station: Here, pools: Workers, asked: TrendFiltered) -> Trend:
    """The same by spans of time."""
    spans = await pools.trends.run(lambda: station.log.trend(asked.wanted(), spans=asked.spans), request=request)
    return Trend(spans=[Count.of(tally) for tally in spans])


@router.get("/v1/choices", responses=told(429, 503))
async def choices(request: Request, station: Here, pools: Workers) -> Choices:
    """The models and stations that the log knows; at most 1,000 of each."""
    return await pools.searches.run(lambda: _choices(station), request=request)


def _choices(station: Station) -> Choices:
    return Choices(models=station.log.models()[:MOST_NAMES], stations=station.log.stations()[:MOST_NAMES])


@router.get("/v1/inspections/{id}", responses=told(404, 422, 429, 503))
async def inspection(
    request: Request, station: Here, pools: Workers, prefix: Prefix, number: Number
) -> LoggedInspection:
    """One inspection."""
    return await pools.lookups.run(
        lambda: LoggedInspection.of(_record(station, number), station.shelf, prefix), request=request
    )


@router.get(
    "/v1/inspections/{id}/pictures/{kind}",
    response_class=Response,
    responses={
        200: {"content": {f"image/{kind}": {"schema": {"type": "string"}} for kind in ("jpeg", "png", "webp")}},
        **told(404, 410, 422, 429, 503),
    },
)
async def picture(
    request: Request,
    station: Here,
    pools: Workers,
    number: Number,
    kind: Kind,
    answers: Annotated[AnswerBudget, Depends(_answers)],
) -> Response:
    """One of an inspection's pictures: as it came, without noise, where the defect is, or small."""
    entry = (await pools.lookups.run(lambda: _record(station, number), request=request)).entry
    pool = pools.drawings if kind in _DRAWN else pools.pictures
    key = (kind, entry.sha256, entry.model)  # the same for everybody
    data = await pool.run(lambda: _picture(station, entry, kind), request=request, key=key)
    media_type = kind_of(data) if data else None
    if data is None or media_type is None:
        raise refused(410, "This picture is no longer kept, never was made, or cannot be shown")
    return PictureResponse(
        data,
        budget=answers,
        media_type=media_type,
        headers={
            "Cache-Control": f"private, max-age={_KEPT_SECONDS}, immutable",
            "Content-Security-Policy": PICTURE_POLICY,
            "Content-Disposition": f'inline; filename="{number}-{kind}.{media_type.partition("/")[2]}"',
        },
    )


@router.post(
    "/v1/inspections/{id}/feedback",
    status_code=201,
    dependencies=[Depends(operator)],
    responses=told(400, 404, 408, 413, 422, 503),
)
async def feedback(
    station: Here, pools: Workers, prefix: Prefix, number: Number, said: NewFeedback
) -> LoggedInspection:
    """Say what the picture shows; the last word counts, and all are kept."""
    return await pools.inspecting.run(lambda: _add_feedback(station, number, said, prefix))


def _add_feedback(station: Station, number: int, said: NewFeedback, prefix: str) -> LoggedInspection:
    now = time.time_ns() // 1_000_000
    given = Feedback(at=now, says=said.says, note=said.note, operator=said.operator, settles=said.settles)
    record = station.log.add_feedback(number, given)
    if record is None:
        raise _unknown(number)
    return LoggedInspection.of(record, station.shelf, prefix)


def _record(station: Station, number: int) -> Record:
    record = station.log.record(number)
    if record is None:
        raise _unknown(number)
    return record


def _unknown(number: int) -> Exception:
    return refused(404, f"There is no inspection {number}")


def _picture(station: Station, entry: Entry, kind: Kind) -> bytes | None:
    shelf = station.shelf
    match kind:
        case "noisy":
            return shelf.viewable(entry.sha256)
        case "restored":
            return shelf.restored(entry.sha256, entry.model)
        case "heat":
            return shelf.heat(entry.sha256, entry.model)
        case "thumbnail":
            return shelf.thumbnail(entry.sha256)
