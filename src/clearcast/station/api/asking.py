"""What is asked of the log, as a query of an address."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from clearcast.domain import NoiseType, Verdict
from clearcast.station.api.models import EPOCH, Text
from clearcast.station.records import Disagreement, Order, Wanted

_Word = Annotated[Text, Field(max_length=255)]


def _moment(value: object) -> object:
    """A number alone would be taken for seconds since 1970, and is more likely a slip."""
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value.replace(" ", "+"))  # a plus that was not escaped
        except ValueError:
            raise ValueError(
                "a date and time are needed as ISO 8601 writes them, such as 2026-11-24T23:10:00Z"
            ) from None
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    return value


Time = Annotated[datetime, BeforeValidator(_moment), Field(description="ISO 8601; UTC where it names no zone")]


class Filter(BaseModel):
    """Which inspections are asked for; what is left out asks for all. A word that is unknown is refused."""

    model_config = ConfigDict(extra="forbid")

    since: Time | None = None
    until: Annotated[Time | None, Field(description="ISO 8601; the first moment that is not asked for")] = None
    verdict: Annotated[
        list[Literal["ok", "defect", "retake", "none"]],
        Field(description="any of these; none: could not be judged", max_length=4),
    ] = []
    noise_type: Annotated[list[NoiseType], Field(description="any of these", max_length=len(NoiseType))] = []
    model: _Word = ""
    station: _Word = ""
    disagreement: Disagreement | None = None
    shadow_differs: bool = False
    feedback: Annotated[bool | None, Field(description="whether anybody gave feedback")] = None
    q: Annotated[_Word, Field(description="a piece of the name, or the beginning of the SHA-256")] = ""

    def wanted(self) -> Wanted:
        """The same as the log is asked."""
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
    """The same, and which page of it."""

    order: Order = Order.NEWEST
    after: Annotated[_Word | None, Field(description="what the page before gave as next")] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class TrendFilter(Filter):
    """The same, and into how many spans of time it is cut."""

    spans: Annotated[int, Field(ge=1, le=500)] = 48


Filtered = Annotated[Filter, Query()]
PageFiltered = Annotated[PageFilter, Query()]
TrendFiltered = Annotated[TrendFilter, Query()]


def _milliseconds(when: datetime | None) -> int | None:
    return None if when is None else (when - EPOCH) // timedelta(milliseconds=1)
