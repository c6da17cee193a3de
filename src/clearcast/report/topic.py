"""One subject of the page's lower part: what was found of each stage or noise type."""

from dataclasses import dataclass

from clearcast.report.figures import Chart
from clearcast.report.tables import Table


@dataclass(frozen=True)
class Panel:
    """What is told of one stage or noise type: a sentence, tables and figures, each of which may be missing."""

    title: str
    sentence: str
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Topic:
    """A section of panels under one heading; those ``folded`` are shown on demand. ``key`` is its address."""

    key: str
    title: str
    intro: str
    panels: tuple[Panel, ...]
    folded: tuple[Panel, ...] = ()
