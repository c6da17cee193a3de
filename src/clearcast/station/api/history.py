"""The routes that ask the log, and the one that adds what people say."""

import time
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request

from clearcast.station.api.asking import Filtered, PageFilter, PageFiltered, TrendFiltered
from clearcast.station.api.documents import told
from clearcast.station.api.export import Exports, Table
from clearcast.station.api.models import Choices, Count, InspectionsPage, LoggedInspection, NewFeedback, Trend
from clearcast.station.api.names import MOST_NAMES
from clearcast.station.api.prefix import Prefix
from clearcast.station.api.problems import refused
from clearcast.station.api.roles import Here, operator, reader
from clearcast.station.api.station import Station
from clearcast.station.api.workers import Workers
from clearcast.station.records import Feedback, Record

router = APIRouter(tags=["history"], dependencies=[Depends(reader)])
Number = Annotated[int, Path(alias="id", ge=1, le=2**63 - 1)]


async def _exports(request: Request) -> Exports:
    return cast(Exports, request.app.state.exports)


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

    def begin() -> Table:
        return Table(exports.one(station.log.export(asked.wanted())), pools.trends)

    return await pools.trends.run(begin, request=request)


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
        lambda: LoggedInspection.of(record_of(station, number), station.shelf, prefix), request=request
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


def record_of(station: Station, number: int) -> Record:
    """The inspection of this number.

    Raises:
        HTTPException: 404, there is none.
    """
    record = station.log.record(number)
    if record is None:
        raise _unknown(number)
    return record


def _unknown(number: int) -> Exception:
    return refused(404, f"There is no inspection {number}")
