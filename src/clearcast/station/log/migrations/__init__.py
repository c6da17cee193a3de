"""Migrations of the log's tables, run by ``clearcast.station.log.open_log``; never change a released one."""
