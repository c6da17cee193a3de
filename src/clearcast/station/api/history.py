"""Routes of logged inspections: pages, CSV export, counts, trend, single inspections, feedback."""

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
    request: Request, station: Here, pools: Workers, prefix: Prefix, query: PageFiltered
) -> InspectionsPage:
    """One page of inspections, and a cursor for the next."""
    return await pools.searches.run(lambda: _page(station, query, prefix), request=request)


def _page(station: Station, query: PageFilter, prefix: str) -> InspectionsPage:
    try:
        page = station.log.page(query.to_filter(), order=query.order, after=query.after or None, limit=query.limit)
    except ValueError:
        raise refused(422, "after: not the 'next' of a page in this order; omit it for the first page") from None
    return InspectionsPage(
        inspections=[LoggedInspection.of(record, station.image_store, prefix) for record in page.records],
        next=page.next,
    )


@router.get(
    "/v1/inspections.csv",
    status_code=200,  # otherwise FastAPI looks for it in the response class
    response_class=Table,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **told(422, 429, 503)},
)
async def inspections_csv(
    request: Request, station: Here, pools: Workers, query: Filtered, exports: Annotated[Exports, Depends(_exports)]
) -> Table:
    """All matching inspections as CSV, newest first."""

    def start_export() -> Table:
        return Table(exports.limit(station.log.export(query.to_filter())), pools.trends)

    return await pools.trends.run(start_export, request=request)


@router.get("/v1/counts", responses=told(422, 429, 503))
async def counts(request: Request, station: Here, pools: Workers, query: Filtered) -> Count:
    """Counts of all matching inspections."""
    return await pools.searches.run(lambda: Count.of(station.log.count(query.to_filter())), request=request)


@router.get("/v1/trend", responses=told(422, 429, 503))
async def trend(request: Request, station: Here, pools: Workers, query: TrendFiltered) -> Trend:
    """Counts of matching inspections by time span."""
    spans = await pools.trends.run(lambda: station.log.trend(query.to_filter(), spans=query.spans), request=request)
    return Trend(spans=[Count.of(tally) for tally in spans])


@router.get("/v1/choices", responses=told(429, 503))
async def choices(request: Request, station: Here, pools: Workers) -> Choices:
    """Models and stations in the log; at most 1,000 of each."""
    return await pools.searches.run(lambda: _choices(station), request=request)


def _choices(station: Station) -> Choices:
    return Choices(models=station.log.models()[:MOST_NAMES], stations=station.log.stations()[:MOST_NAMES])


@router.get("/v1/inspections/{id}", responses=told(404, 422, 429, 503))
async def inspection(
    request: Request, station: Here, pools: Workers, prefix: Prefix, number: Number
) -> LoggedInspection:
    """One inspection."""
    return await pools.lookups.run(
        lambda: LoggedInspection.of(record_of(station, number), station.image_store, prefix), request=request
    )


@router.post(
    "/v1/inspections/{id}/feedback",
    status_code=201,
    dependencies=[Depends(operator)],
    responses=told(400, 404, 408, 413, 422, 503),
)
async def feedback(station: Here, pools: Workers, prefix: Prefix, number: Number, new: NewFeedback) -> LoggedInspection:
    """Add feedback on what the image shows; all feedback is kept, the latest counts."""
    return await pools.inspecting.run(lambda: _add_feedback(station, number, new, prefix))


def _add_feedback(station: Station, number: int, new: NewFeedback, prefix: str) -> LoggedInspection:
    now = time.time_ns() // 1_000_000
    entry = Feedback(at=now, says=new.says, note=new.note, operator=new.operator, settles=new.settles)
    record = station.log.add_feedback(number, entry)
    if record is None:
        raise _not_found(number)
    return LoggedInspection.of(record, station.image_store, prefix)


def record_of(station: Station, number: int) -> Record:
    """Get the logged inspection with an id.

    Raises:
        HTTPException: 404, there is none.
    """
    record = station.log.record(number)
    if record is None:
        raise _not_found(number)
    return record


def _not_found(number: int) -> Exception:
    return refused(404, f"There is no inspection {number}")
