"""Migrations of the log's tables, run by ``clearcast.station.log.open_log``; never change one that was released."""
