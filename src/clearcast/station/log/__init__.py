"""The station's log of inspections and feedback, in SQLite or PostgreSQL."""

from clearcast.station.log.away import LogAway
from clearcast.station.log.log import Log, open_log

__all__ = ["Log", "LogAway", "open_log"]
