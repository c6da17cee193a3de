"""Routes of the log: pages, counts, trend, CSV export and feedback, with the query parameters of their filters."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from clearcast.noise.registry import NoiseType
from clearcast.station.api.access import StationDep, require_operator, require_reader
from clearcast.station.api.log_export import CsvExportResponse, ExportLimit
from clearcast.station.api.problems import http_error, problem_responses
from clearcast.station.api.schemas import (
    UNIX_EPOCH,
    Choices,
    Count,
    InspectionsPage,
    LoggedInspection,
    NewFeedback,
    StorableText,
    Trend,
)
from clearcast.station.api.settings import PathPrefixDep, Station
from clearcast.station.api.upload_checks import MAX_STATION_NAMES
from clearcast.station.api.workers import WorkerPoolsDep
from clearcast.station.records import Disagreement, Feedback, InspectionFilter, InspectionOrder, InspectionRecord
from clearcast.types import Verdict

router = APIRouter(tags=["history"], dependencies=[Depends(require_reader)])
InspectionId = Annotated[int, Path(alias="id", ge=1, le=2**63 - 1)]

_ShortText = Annotated[StorableText, Field(max_length=255)]


def _parse_time(value: object) -> object:
    """Parse ISO 8601 strictly: pydantic would read a bare number as seconds since 1970, which is likely a mistake."""
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value.replace(" ", "+"))  # an unescaped plus sign
        except ValueError:
            raise ValueError("expected an ISO 8601 date and time such as 2026-11-24T23:10:00Z") from None
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    return value


QueryTime = Annotated[datetime, BeforeValidator(_parse_time), Field(description="ISO 8601; UTC if it has no time zone")]


class InspectionQuery(BaseModel):
    """Filter for inspections; an omitted parameter matches all. Unknown parameters are rejected."""

    model_config = ConfigDict(extra="forbid")

    since: QueryTime | None = None
    until: Annotated[QueryTime | None, Field(description="ISO 8601; exclusive upper bound")] = None
    verdict: Annotated[
        list[Literal["ok", "defect", "retake", "none"]],
        Field(description="any of these; none: not inspected", max_length=4),
    ] = []
    noise_type: Annotated[list[NoiseType], Field(description="any of these", max_length=len(NoiseType))] = []
    model: _ShortText = ""
    station: _ShortText = ""
    disagreement: Disagreement | None = None
    shadow_differs: bool = False
    feedback: Annotated[bool | None, Field(description="whether the inspection has feedback")] = None
    q: Annotated[_ShortText, Field(description="part of the name, or the beginning of the SHA-256")] = ""

    def to_filter(self) -> InspectionFilter:
        """Convert to the filter of the log."""
        return InspectionFilter(
            since=_milliseconds(self.since),
            until=_milliseconds(self.until),
            verdicts=frozenset(None if word == "none" else Verdict(word) for word in self.verdict),
            noise_types=frozenset(self.noise_type),
            model=self.model,
            station=self.station,
            disagreement=self.disagreement,
            shadow_differs=self.shadow_differs,
            feedback=self.feedback,
            text=self.q,
        )


class InspectionPageQuery(InspectionQuery):
    """Filter with sort order and pagination."""

    order: InspectionOrder = InspectionOrder.NEWEST
    after: Annotated[_ShortText | None, Field(description="value of next in the previous page")] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class TrendQuery(InspectionQuery):
    """Filter with the number of equal time spans to count in."""

    spans: Annotated[int, Field(ge=1, le=500)] = 48


InspectionQueryParams = Annotated[InspectionQuery, Query()]
InspectionPageParams = Annotated[InspectionPageQuery, Query()]
TrendQueryParams = Annotated[TrendQuery, Query()]


def _milliseconds(when: datetime | None) -> int | None:
    return None if when is None else (when - UNIX_EPOCH) // timedelta(milliseconds=1)


async def _get_export_limit(request: Request) -> ExportLimit:
    return cast(ExportLimit, request.app.state.exports)


@router.get("/v1/inspections", responses=problem_responses(422, 429, 503))
async def inspections(
    request: Request, station: StationDep, pools: WorkerPoolsDep, prefix: PathPrefixDep, query: InspectionPageParams
) -> InspectionsPage:
    """One page of inspections, and a cursor for the next."""
    return await pools.searches.run(lambda: _page(station, query, prefix), request=request)


def _page(station: Station, query: InspectionPageQuery, prefix: str) -> InspectionsPage:
    try:
        page = station.log.page(query.to_filter(), order=query.order, after=query.after or None, limit=query.limit)
    except ValueError:
        raise http_error(422, "after: not the 'next' of a page in this order; omit it for the first page") from None
    return InspectionsPage(
        inspections=[LoggedInspection.of(record, station.image_store, prefix) for record in page.records],
        next=page.next,
    )


@router.get(
    "/v1/inspections.csv",
    status_code=200,  # otherwise FastAPI looks for it in the response class
    response_class=CsvExportResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **problem_responses(422, 429, 503)},
)
async def inspections_csv(
    request: Request,
    station: StationDep,
    pools: WorkerPoolsDep,
    query: InspectionQueryParams,
    export_limit: Annotated[ExportLimit, Depends(_get_export_limit)],
) -> CsvExportResponse:
    """All matching inspections as CSV, newest first."""

    def start_export() -> CsvExportResponse:
        return CsvExportResponse(export_limit.limit(station.log.export(query.to_filter())), pools.trends)

    return await pools.trends.run(start_export, request=request)


@router.get("/v1/counts", responses=problem_responses(422, 429, 503))
async def counts(request: Request, station: StationDep, pools: WorkerPoolsDep, query: InspectionQueryParams) -> Count:
    """Counts of all matching inspections."""
    return await pools.searches.run(lambda: Count.of(station.log.count(query.to_filter())), request=request)


@router.get("/v1/trend", responses=problem_responses(422, 429, 503))
async def trend(request: Request, station: StationDep, pools: WorkerPoolsDep, query: TrendQueryParams) -> Trend:
    """Counts of matching inspections by time span."""
    spans = await pools.trends.run(lambda: station.log.trend(query.to_filter(), spans=query.spans), request=request)
    return Trend(spans=[Count.of(span) for span in spans])


@router.get("/v1/choices", responses=problem_responses(429, 503))
async def choices(request: Request, station: StationDep, pools: WorkerPoolsDep) -> Choices:
    """Models and stations in the log; at most 1,000 of each."""
    return await pools.searches.run(lambda: _choices(station), request=request)


def _choices(station: Station) -> Choices:
    return Choices(models=station.log.models()[:MAX_STATION_NAMES], stations=station.log.stations()[:MAX_STATION_NAMES])


@router.get("/v1/inspections/{id}", responses=problem_responses(404, 422, 429, 503))
async def inspection(
    request: Request, station: StationDep, pools: WorkerPoolsDep, prefix: PathPrefixDep, number: InspectionId
) -> LoggedInspection:
    """One inspection."""
    return await pools.lookups.run(
        lambda: LoggedInspection.of(get_logged_inspection(station, number), station.image_store, prefix),
        request=request,
    )


@router.post(
    "/v1/inspections/{id}/feedback",
    status_code=201,
    dependencies=[Depends(require_operator)],
    responses=problem_responses(400, 404, 408, 413, 422, 503),
)
async def feedback(
    station: StationDep, pools: WorkerPoolsDep, prefix: PathPrefixDep, number: InspectionId, new: NewFeedback
) -> LoggedInspection:
    """Add feedback on what the image shows; all feedback is kept, the latest counts."""
    return await pools.inspecting.run(lambda: _add_feedback(station, number, new, prefix))


def _add_feedback(station: Station, number: int, new: NewFeedback, prefix: str) -> LoggedInspection:
    now = time.time_ns() // 1_000_000
    entry = Feedback(at=now, says=new.says, note=new.note, operator=new.operator, settles=new.settles)
    record = station.log.add_feedback(number, entry)
    if record is None:
        raise _not_found(number)
    return LoggedInspection.of(record, station.image_store, prefix)


def get_logged_inspection(station: Station, number: int) -> InspectionRecord:
    """Get the logged inspection with an id.

    Raises:
        HTTPException: 404, there is none.
    """
    record = station.log.record(number)
    if record is None:
        raise _not_found(number)
    return record


def _not_found(number: int) -> Exception:
    return http_error(404, f"There is no inspection {number}")
