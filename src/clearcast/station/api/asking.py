"""Query parameters that filter, page and group the inspections of the log."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from clearcast.domain import NoiseType, Verdict
from clearcast.station.api.models import EPOCH, Text
from clearcast.station.records import Disagreement, Order, Wanted

_ShortText = Annotated[Text, Field(max_length=255)]


def _parse_time(value: object) -> object:
    """Parse ISO 8601 strictly: pydantic would read a bare number as seconds since 1970, which is likely a mistake."""
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value.replace(" ", "+"))  # an unescaped plus sign
        except ValueError:
            raise ValueError("expected an ISO 8601 date and time such as 2026-11-24T23:10:00Z") from None
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    return value


Time = Annotated[datetime, BeforeValidator(_parse_time), Field(description="ISO 8601; UTC if it has no time zone")]


class Filter(BaseModel):
    """Filter for inspections; an omitted parameter matches all. Unknown parameters are rejected."""

    model_config = ConfigDict(extra="forbid")

    since: Time | None = None
    until: Annotated[Time | None, Field(description="ISO 8601; exclusive upper bound")] = None
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

    def to_filter(self) -> Wanted:
        """Convert to the filter of the log."""
        return Wanted(
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


class PageFilter(Filter):
    """Filter with sort order and pagination."""

    order: Order = Order.NEWEST
    after: Annotated[_ShortText | None, Field(description="value of next in the previous page")] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class TrendFilter(Filter):
    """Filter with the number of equal time spans to count in."""

    spans: Annotated[int, Field(ge=1, le=500)] = 48


Filtered = Annotated[Filter, Query()]
PageFiltered = Annotated[PageFilter, Query()]
TrendFiltered = Annotated[TrendFilter, Query()]


def _milliseconds(when: datetime | None) -> int | None:
    return None if when is None else (when - EPOCH) // timedelta(milliseconds=1)
