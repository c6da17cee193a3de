"""The log of inspections and feedback: reading and writing, one transaction per method."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, exc, func, select

from clearcast.core.errors import OutputError
from clearcast.station.log.counts import count_by_span, count_inspections
from clearcast.station.log.database import (
    LogUnavailable,
    create_log_engine,
    describe_log_url,
    log_url,
    migrate_tables,
    reading_engine,
    translate_database_errors,
    writing_engine,
)
from clearcast.station.log.filters import clamp_time, fetch_page, has_dimensions
from clearcast.station.log.rollups import MAX_TIME, add_to_rollups, dimension_ids, dimensions_of, insert_into
from clearcast.station.log.row_mapping import (
    fetch_records,
    insert_feedback,
    inspection_values,
    parse_entry,
    select_inspections,
)
from clearcast.station.log.schema import dimensions_table, feedback_table, inspections_table, settings_table
from clearcast.station.log.sqlite_files import SqliteJournal, require_complete_log
from clearcast.station.records import (
    Feedback,
    InspectionCounts,
    InspectionEntry,
    InspectionFilter,
    InspectionOrder,
    InspectionPage,
    InspectionRecord,
)

_BATCH_SIZE = 500  # rows per query
_VALID_IDS = range(1, 2**63)  # that databases accept
_IMAGE_FOLDER = "pictures"  # the setting with the folder of the images
_LAST_WRITE_CHECK = "tried"  # the setting with the time of the last write check


def open_log(url: str | Path, *, image_folder: Path | None = None) -> "InspectionLog":
    """Open a log; create it if it is missing, and migrate its tables.

    Args:
        url: a path or text without ``://`` is an SQLite file; otherwise ``postgresql://USER@HOST/DATABASE``.
        image_folder: folder of the station's images, if known; if it contains images, a log file without tables is
            refused.

    Raises:
        LogUnavailable: the log cannot be reached or written at the moment.
        OutputError: the database is no log, is one of a newer version, or is incomplete.
    """
    place = log_url(url)
    require_complete_log(place, image_folder)
    engine = create_log_engine(place)
    log = InspectionLog(engine)
    try:
        log.migrate()
    except BaseException:
        log.close()
        raise
    return log


class InspectionLog:
    """All inspections with their feedback; opened by ``open_log``. Thread-safe.

    Every method raises ``LogUnavailable`` while the database cannot be reached or written, and works again afterwards.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read = reading_engine(engine)
        self._writer = create_log_engine(engine.url)  # separate connections, so that readers never block writing
        self._write = writing_engine(self._writer)
        self._write_lock = Lock()  # fairer and faster than waiting for SQLite's own lock
        self._place = describe_log_url(engine.url)
        self._journal = SqliteJournal(self._writer, engine)

    def migrate(self) -> None:
        """Create the tables or migrate those of an older version; see ``open_log``."""
        try:
            with self._writing() as connection:
                migrate_tables(connection)
        except exc.ProgrammingError as error:
            raise OutputError(f"The log {self._place} cannot be created or read: {error.orig}") from error
        except LogUnavailable as error:
            if type(error.__cause__) is not exc.DatabaseError:  # SQLite's error for a file of another format
                raise
            raise OutputError(f"{self._place} is no log; give the log a file of its own") from error

    def write(self, entries: Sequence[InspectionEntry]) -> list[int]:
        """Log inspections in one transaction; they are flushed to the disk when this returns.

        Returns:
            their ids, in order.
        """
        if not entries:
            return []
        with self._writing() as connection:
            known = dimension_ids(connection, map(dimensions_of, entries))
            values = [inspection_values(entry, known[dimensions_of(entry)]) for entry in entries]
            statement = inspections_table.insert().returning(inspections_table.c.id, sort_by_parameter_order=True)
            ids = list(connection.scalars(statement, values))
            add_to_rollups(connection, values)
        with self._write_lock:
            self._journal.shorten()
        return ids

    def page(
        self,
        filters: InspectionFilter,
        *,
        order: InspectionOrder = InspectionOrder.NEWEST,
        after: str | None = None,
        limit: int = 50,
    ) -> InspectionPage:
        """Return a page of matching inspections; ``LEAST_CERTAIN`` leaves out those without a probability.

        Args:
            filters: the filter.
            order: the sort order.
            after: cursor, the previous page's ``next``; None for the first page.
            limit: maximum number of inspections, at least 1.

        Raises:
            ValueError: ``after`` is no cursor of this order.
        """
        with self._reading() as connection:
            return fetch_page(connection, filters, order, after, limit)

    def record(self, id_: int) -> InspectionRecord | None:
        """Return one inspection; None if there is none with this id."""
        if id_ not in _VALID_IDS:
            return None
        with self._reading() as connection:
            return _record(connection, id_)

    def add_feedback(self, id_: int, feedback: Feedback) -> InspectionRecord | None:
        """Add feedback to an inspection; earlier feedback is kept.

        Returns:
            the updated inspection; None if there is none with this id.
        """
        if id_ not in _VALID_IDS:
            return None
        with self._writing() as connection:
            insert_feedback(connection, id_, feedback)
            return _record(connection, id_)

    def count(self, filters: InspectionFilter) -> InspectionCounts:
        """Count matching inspections."""
        since = clamp_time(-MAX_TIME if filters.since is None else filters.since)
        until = clamp_time(MAX_TIME if filters.until is None else filters.until)
        with self._reading() as connection:
            return count_inspections(connection, filters, since, until)

    def trend(self, filters: InspectionFilter, *, spans: int = 48) -> list[InspectionCounts]:
        """Count matching inspections by equal time spans, from ``since`` to ``until``.

        If these are not given: from the first minute to the last of the matching inspections, whatever their name.
        Spans are whole days, hours, minutes or milliseconds, the longest possible, and start at a multiple of them; so
        the first may start before ``since``, but counts nothing before it.

        Returns:
            one count per span, at most ``spans``; empty if an end is neither given nor found.
        """
        with self._reading() as connection:
            return count_by_span(connection, filters, spans)

    def export(self, filters: InspectionFilter) -> Iterator[InspectionRecord]:
        """Yield all matching inspections logged up to the first request, newest first, in bounded memory.

        Each page is read in its own transaction, and none is open while the caller works: an open one would keep
        SQLite from truncating its journal. So feedback given during the export may be included or not.
        """
        with self._reading() as connection:
            last = connection.scalar(select(func.max(inspections_table.c.id)))
        after: str | None = None
        while last is not None:
            with self._reading() as connection:
                page = fetch_page(connection, filters, InspectionOrder.NEWEST, after, _BATCH_SIZE, last=last)
            yield from page.records
            after = page.next
            if after is None:
                return

    def latest(self, model: str, count: int) -> list[InspectionEntry]:
        """Return the newest inspections of a model without an error, at most ``count``."""
        by_model = (
            has_dimensions(inspections_table.c.kind_id, InspectionFilter(model=model))
            if model
            else dimensions_table.c.model == ""
        )
        newest = select_inspections().where(by_model, inspections_table.c.error == "")
        with self._reading() as connection:
            found = connection.execute(
                newest.order_by(inspections_table.c.at.desc(), inspections_table.c.id.desc()).limit(count)
            )
            return [parse_entry(row) for row in found]

    def models(self) -> list[str]:
        """Return the names of all models in the log."""
        return self._names("model")

    def stations(self) -> list[str]:
        """Return the names of all stations in the log."""
        return self._names("station")

    def hashes_with_feedback(self, hashes: Sequence[str]) -> set[str]:
        """Return those of the SHA-256 hashes whose images have feedback."""
        found: set[str] = set()
        with self._reading() as connection:
            for begin in range(0, len(hashes), _BATCH_SIZE):
                batch = inspections_table.c.sha256.in_(hashes[begin : begin + _BATCH_SIZE])
                query = select(inspections_table.c.sha256).where(
                    batch, inspections_table.c.id.in_(select(feedback_table.c.inspection_id))
                )
                found.update(connection.scalars(query))
        return found

    def ping(self) -> None:
        """Check that the database responds.

        Raises:
            LogUnavailable: it does not.
        """
        with self._reading() as connection:
            connection.scalar(select(settings_table.c.name).limit(1))

    @property
    def image_folder(self) -> Path | None:
        """The folder of the station's images, as recorded by the station; None if not recorded."""
        with self._reading() as connection:
            found = connection.scalar(select(settings_table.c.value).where(settings_table.c.name == _IMAGE_FOLDER))
        return Path(found) if found else None

    def set_image_folder(self, path: Path) -> None:
        """Record the folder of the station's images in the log, so that other commands find them."""
        self._set(_IMAGE_FOLDER, str(path.absolute()))

    def check_writable(self) -> None:
        """Check that the log is writable; a full disk allows reading only.

        Raises:
            LogUnavailable: nothing can be logged at the moment.
        """
        self._set(_LAST_WRITE_CHECK, datetime.now(UTC).isoformat())

    def _set(self, name: str, value: str) -> None:
        with self._writing() as connection:
            setting = insert_into(connection, settings_table).values(name=name, value=value)
            connection.execute(
                setting.on_conflict_do_update(index_elements=["name"], set_={"value": setting.excluded.value})
            )

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()
        self._writer.dispose()

    def _names(self, column: str) -> list[str]:
        with self._reading() as connection:
            return sorted(filter(None, connection.scalars(select(dimensions_table.c[column]).distinct())))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._check_file()
        with translate_database_errors(self._place), self._read.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._check_file()
        with self._write_lock, translate_database_errors(self._place), self._write.begin() as connection:
            yield connection

    def _check_file(self) -> None:
        """Refuse a removed SQLite file: writes would still succeed, and be lost when the last connection closes."""
        if self._engine.dialect.name == "sqlite" and not Path(self._place).exists():
            self.close()
            raise LogUnavailable(f"The log {self._place} is missing. Put the file back, or start with another log.")
        if self._journal.is_missing:
            self._rescue_journal()

    def _rescue_journal(self) -> None:
        """Save a removed journal; then close all connections, since new ones would start another journal."""
        with self._write_lock:
            if self._journal.is_missing:
                if not self._journal.rescue():
                    raise LogUnavailable(
                        f"The journal of the log {self._place} was removed while it was in use. Try again."
                    )
                self.close()


def _record(connection: Connection, id_: int) -> InspectionRecord | None:
    return next(iter(fetch_records(connection, [id_])), None)
