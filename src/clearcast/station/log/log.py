"""The log itself: what is asked of it, each in one transaction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, exc, func, select

from clearcast.errors import OutputError
from clearcast.station.log import saying, tables
from clearcast.station.log.away import LogAway, reaching
from clearcast.station.log.counting import tally, trend
from clearcast.station.log.journal import Journal
from clearcast.station.log.kinds import inserting, kind_of, numbers
from clearcast.station.log.opening import (
    bring_up_to_date,
    for_reading,
    for_writing,
    log_url,
    place_of,
    reach,
)
from clearcast.station.log.paging import page
from clearcast.station.log.remains import require_whole
from clearcast.station.log.rows import entry_in, inspection_row, records, rows
from clearcast.station.log.tables import inspections, kinds, settings
from clearcast.station.log.tallying import FAR, count_in
from clearcast.station.log.wanting import moment, of_kind
from clearcast.station.records import Entry, Feedback, Order, Page, Record, Tally, Wanted

_AT_ONCE = 500  # what is asked for in one query
_NUMBERS = range(1, 2**63)  # that a database may be asked for
_PICTURES = "pictures"  # the setting that says where they are
_TRIED = "tried"  # the setting that says when it was last tried to write


def open_log(url: str | Path, *, pictures: Path | None = None) -> "Log":
    """Open a log, and make it where it is not there; its tables are brought up to date.

    Args:
        url: a path, or a text without ``://``, is a file of SQLite; otherwise ``postgresql://USER@HOST/DATABASE``.
        pictures: the folder of the station's pictures, if it is known: beside pictures, a file that is there and has no
            tables is refused.

    Raises:
        LogAway: if it cannot be reached or written just now.
        OutputError: if the database is no log, one of a newer version, or only a part of one.
    """
    place = log_url(url)
    require_whole(place, pictures)
    engine = reach(place)
    log = Log(engine)
    try:
        log.bring_up_to_date()
    except BaseException:
        log.close()
        raise
    return log


class Log:
    """Every inspection and what people said of it; made by ``open_log``. Safe to use from several threads.

    All that is asked of it raises ``LogAway`` where the database cannot be reached or written just now, and works again
    when it can.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read = for_reading(engine)
        self._writer = reach(engine.url)  # connections of its own: no number of readers keeps it from writing
        self._write = for_writing(self._writer)
        self._turn = Lock()  # who writes: waiting for it here is fairer and faster than for SQLite's
        self._place = place_of(engine.url)
        self._journal = Journal(self._writer, engine)

    def bring_up_to_date(self) -> None:
        """Make the tables, or those of an older version into today's; see ``open_log``."""
        try:
            with self._writing() as connection:
                bring_up_to_date(connection)
        except exc.ProgrammingError as error:
            raise OutputError(f"The log {self._place} cannot be made or read: {error.orig}") from error
        except LogAway as error:
            if type(error.__cause__) is not exc.DatabaseError:  # so SQLite says that a file is something else
                raise
            raise OutputError(f"{self._place} is no log; give the log a file of its own") from error

    def write(self, entries: Sequence[Entry]) -> list[int]:
        """Log inspections in one transaction; they are on the disk when it returns.

        Returns:
            their ids, in their order.
        """
        if not entries:
            return []
        with self._writing() as connection:
            known = numbers(connection, map(kind_of, entries))
            values = [inspection_row(entry, known[kind_of(entry)]) for entry in entries]
            adding = inspections.insert().returning(inspections.c.id, sort_by_parameter_order=True)
            ids = list(connection.scalars(adding, values))
            count_in(connection, values)
        with self._turn:
            self._journal.shorten()
        return ids

    def page(self, wanted: Wanted, *, order: Order = Order.NEWEST, after: str | None = None, limit: int = 50) -> Page:
        """Some of what is wanted, in an order; ``LEAST_CERTAIN`` leaves out those without a probability.

        Args:
            wanted: which inspections.
            order: which come first.
            after: where the page before ended (its ``next``); None for the first.
            limit: at most so many, from 1.

        Raises:
            ValueError: if ``after`` is no place in this order.
        """
        with self._reading() as connection:
            return page(connection, wanted, order, after, limit)

    def record(self, number: int) -> Record | None:
        """One inspection; None where there is none of this number."""
        if number not in _NUMBERS:
            return None
        with self._reading() as connection:
            return _record(connection, number)

    def add_feedback(self, number: int, feedback: Feedback) -> Record | None:
        """Add what a person says of an inspection; all that was said before is kept.

        Returns:
            the inspection as it is now; None where there is none of this number.
        """
        if number not in _NUMBERS:
            return None
        with self._writing() as connection:
            saying.add(connection, number, feedback)
            return _record(connection, number)

    def count(self, wanted: Wanted) -> Tally:
        """Count all that is wanted."""
        since = moment(-FAR if wanted.since is None else wanted.since)
        until = moment(FAR if wanted.until is None else wanted.until)
        with self._reading() as connection:
            return tally(connection, wanted, since, until)

    def trend(self, wanted: Wanted, *, spans: int = 48) -> list[Tally]:
        """Count what is wanted by equal spans of time, from ``since`` to ``until``.

        Where these are not given, from the first minute to the last of what is wanted by any name. Spans are of whole
        days, hours, minutes or milliseconds, of the longest of these that they can be, and begin with one; so the first
        may begin a little before ``since``, and still counts nothing of before.

        Returns:
            one count a span, at most ``spans``; none where an end is not given and cannot be found.
        """
        with self._reading() as connection:
            return trend(connection, wanted, spans)

    def export(self, wanted: Wanted) -> Iterator[Record]:
        """All that is wanted of what is logged when the first is asked for, the newest first; in bounded memory.

        Each page is read in a transaction of its own, and none is open while the caller works: SQLite keeps all that is
        written meanwhile in its journal. So feedback that is given meanwhile may be there or not.
        """
        with self._reading() as connection:
            last = connection.scalar(select(func.max(inspections.c.id)))
        after: str | None = None
        while last is not None:
            with self._reading() as connection:
                part = page(connection, wanted, Order.NEWEST, after, _AT_ONCE, last=last)
            yield from part.records
            after = part.next
            if after is None:
                return

    def latest(self, model: str, count: int) -> list[Entry]:
        """The newest inspections of a model, at most so many, without those that have an error."""
        by_model = of_kind(inspections.c.kind_id, Wanted(model=model)) if model else kinds.c.model == ""
        newest = rows().where(by_model, inspections.c.error == "")
        with self._reading() as connection:
            found = connection.execute(newest.order_by(inspections.c.at.desc(), inspections.c.id.desc()).limit(count))
            return [entry_in(row) for row in found]

    def models(self) -> list[str]:
        """The names of all models that inspected."""
        return self._names("model")

    def stations(self) -> list[str]:
        """The names of all stations that pictures came from."""
        return self._names("station")

    def with_feedback(self, hashes: Sequence[str]) -> set[str]:
        """Those of the SHA-256 of whose pictures people said something."""
        found: set[str] = set()
        with self._reading() as connection:
            for begin in range(0, len(hashes), _AT_ONCE):
                some = inspections.c.sha256.in_(hashes[begin : begin + _AT_ONCE])
                said = select(inspections.c.sha256).where(
                    some, inspections.c.id.in_(select(tables.feedback.c.inspection_id))
                )
                found.update(connection.scalars(said))
        return found

    def answered(self) -> None:
        """Ask something.

        Raises:
            LogAway: if the database does not answer.
        """
        with self._reading() as connection:
            connection.scalar(select(settings.c.name).limit(1))

    @property
    def pictures(self) -> Path | None:
        """The folder of the station's pictures, as the station said; None where it never did."""
        with self._reading() as connection:
            found = connection.scalar(select(settings.c.value).where(settings.c.name == _PICTURES))
        return Path(found) if found else None

    def set_pictures(self, path: Path) -> None:
        """Keep the folder of the station's pictures in the log, so that whoever opens the log finds them."""
        self._set(_PICTURES, str(path.absolute()))

    def writable(self) -> None:
        """Write something, which a full disk refuses though it answers what is read.

        Raises:
            LogAway: if nothing can be logged just now.
        """
        self._set(_TRIED, datetime.now(UTC).isoformat())

    def _set(self, name: str, value: str) -> None:
        with self._writing() as connection:
            setting = inserting(connection, settings).values(name=name, value=value)
            connection.execute(
                setting.on_conflict_do_update(index_elements=["name"], set_={"value": setting.excluded.value})
            )

    def close(self) -> None:
        """Close the connections that wait in the pools."""
        self._engine.dispose()
        self._writer.dispose()

    def _names(self, column: str) -> list[str]:
        with self._reading() as connection:
            return sorted(filter(None, connection.scalars(select(kinds.c[column]).distinct())))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._check_file()
        with reaching(self._place), self._read.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._check_file()
        with self._turn, reaching(self._place), self._write.begin() as connection:
            yield connection

    def _check_file(self) -> None:
        """A file that was taken away would go on to be written, and be lost when the last connection is closed."""
        if self._engine.dialect.name == "sqlite" and not Path(self._place).exists():
            self.close()
            raise LogAway(f"The log {self._place} has gone. Put the file back, or start anew with another log.")
        if self._journal.is_missing:
            self._rescue_journal()

    def _rescue_journal(self) -> None:
        """Connections that are made from now on would begin another journal, so those that there are must end."""
        with self._turn:
            if self._journal.is_missing:
                if not self._journal.rescue():
                    raise LogAway(f"The journal of the log {self._place} was removed while it was in use. Try again.")
                self.close()


def _record(connection: Connection, number: int) -> Record | None:
    return next(iter(records(connection, [number])), None)
