"""The station's log of inspections and feedback, in SQLite or PostgreSQL."""

from clearcast.station.log.database import LogUnavailable
from clearcast.station.log.log import InspectionLog, open_log

__all__ = ["InspectionLog", "LogUnavailable", "open_log"]
