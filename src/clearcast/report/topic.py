"""Panels of the page: results of one stage or noise type, grouped by analysis."""

from dataclasses import dataclass

from clearcast.report.figures import Chart
from clearcast.report.tables import Table


@dataclass(frozen=True)
class Panel:
    """Results of one stage or noise type: a sentence, tables and charts, each of which may be empty."""

    title: str
    sentence: str
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Topic:
    """A section of panels under one heading; ``folded`` panels are collapsed. ``key`` is the section's anchor."""

    key: str
    title: str
    intro: str
    panels: tuple[Panel, ...]
    folded: tuple[Panel, ...] = ()
