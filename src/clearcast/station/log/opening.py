"""Reaching a log's database: its URL, how SQLite and PostgreSQL are spoken to, and bringing its tables up to date."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, inspect, make_url

from clearcast.errors import OutputError
from clearcast.files import make_private
from clearcast.station.log.away import LogAway
from clearcast.station.log.journal import JOURNAL_BYTES
from clearcast.station.log.remains import journal_of

_MIGRATIONS = Path(__file__).parent / "migrations"
VERSIONS = "clearcast_version"  # the table that says which migrations were done
_LOCK = 0x636C656172636173  # PostgreSQL's advisory lock of those who migrate a log: any number, the same for all
_PATIENCE = 10  # seconds that a connection is waited for
_POSTGRES = {  # a server that went without a word is noticed within seconds; the URL may say otherwise
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


def log_url(place: str | Path) -> URL:
    """The URL of a log's database; a path, and a text without ``://``, is a file of SQLite.

    Raises:
        OutputError: if it is no URL, or of another database than SQLite and PostgreSQL.
    """
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(Path(place).absolute()))
    try:
        url = make_url(place)
    except (exc.ArgumentError, ValueError):
        raise OutputError("The log's URL cannot be read; write it as postgresql://USER@HOST/DATABASE") from None
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        return URL.create("sqlite", database=str(Path(url.database).absolute()))
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg").update_query_dict({**_POSTGRES, **url.query})
    raise OutputError(
        f"The log {place_of(url)} is neither a file of SQLite nor a database of PostgreSQL; give a path, or "
        "a URL such as postgresql://USER@HOST/DATABASE"
    )


def place_of(url: URL) -> str:
    """How messages name a log's database: without a password, also where the URL's options hold one."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string()


def reach(url: URL) -> Engine:
    """An engine on the database, of which nothing is asked yet; a file of SQLite is made where it is not there.

    Raises:
        LogAway: if a file of SQLite is not there and cannot be made.
    """
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, pool_timeout=_PATIENCE)
    assert url.database
    path = Path(url.database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)  # SQLite gives its journal the same mode
        for file in (path, *journal_of(path)):
            with suppress(FileNotFoundError):
                make_private(file)
    except OSError as error:
        raise LogAway(f"The log {path} cannot be reached or made: {error}") from error
    engine = create_engine(url, pool_timeout=_PATIENCE, connect_args={"timeout": _PATIENCE})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def for_reading(engine: Engine) -> Engine:
    """The same engine, whose transactions see one state of the database from their begin to their end."""
    if engine.dialect.name == "sqlite":
        return engine  # its transactions do so anyway
    reading = engine.execution_options(isolation_level="REPEATABLE READ")
    # Compiling a query takes PostgreSQL longer than all that it could save here.
    event.listen(reading, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL jit TO off"))
    return reading


def for_writing(engine: Engine) -> Engine:
    """The same engine, whose transactions write, and are on the disk when they are committed."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(writes=True)
    writing = engine.execution_options()
    # Whatever the server's own setting.
    event.listen(writing, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL synchronous_commit TO on"))
    return writing


def bring_up_to_date(connection: Connection) -> None:
    """Make the tables where there are none, and those of an older version into today's, within the transaction.

    Raises:
        OutputError: if the database holds something else, or was written by a newer version.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")  # SQLite's transactions lock anyway
    tables = inspect(connection).get_table_names()
    if tables and VERSIONS not in tables:
        raise OutputError(
            f"The database holds something else than a log ({_some(tables)}); give the log a database of its own"
        )
    context = MigrationContext.configure(connection, opts={"version_table": VERSIONS, "transactional_ddl": True})
    scripts = ScriptDirectory(str(_MIGRATIONS))
    current, known = context.get_current_revision(), {script.revision for script in scripts.walk_revisions()}
    if current and current not in known:
        raise OutputError(
            f"The log was written by a newer version of Clearcast (its tables are of version {current}); update "
            "Clearcast, or use another log"
        )
    for script in reversed(list(scripts.iterate_revisions("head", current or "base"))):
        with Operations.context(context):
            script.module.upgrade()
    if current != scripts.get_current_head():
        context.stamp(scripts, "head")


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - whichever class SQLAlchemy's driver has
    connection.isolation_level = None  # the driver begins no transactions by itself: _begin_sqlite does
    settings = (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"journal_size_limit = {JOURNAL_BYTES}",
    )
    for setting in settings:
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    """Who writes locks at once: a transaction that read first could find out too late that another wrote meanwhile."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
