"""Database of the log: URL, engines, migration of the tables, and the error of an unavailable database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, inspect, make_url

from clearcast.core.errors import ClearcastError, OutputError
from clearcast.core.files import restrict_to_owner
from clearcast.station.log.sqlite_files import JOURNAL_LIMIT_BYTES, journal_paths

VERSION_TABLE = "clearcast_version"  # the table with the schema version
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x636C656172636173  # PostgreSQL's advisory lock for migrations: an arbitrary number
_CONNECTION_TIMEOUT = 10  # seconds to wait for a connection
_POSTGRESQL_OPTIONS = {  # detect a vanished server within seconds; the URL may override
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_BUGS = (exc.IntegrityError, exc.ProgrammingError, exc.DataError)  # bugs of this code, not failures of the database


class LogUnavailable(ClearcastError):  # noqa: N818 - named by the state
    """The log's database cannot be reached or written at the moment, for instance since its disk is full: try again."""


@contextmanager
def translate_database_errors(place: str) -> Iterator[None]:
    """Translate errors of an unavailable database to ``LogUnavailable``; ``place`` names it, without a password."""
    try:
        yield
    except _BUGS:
        raise
    except (exc.DBAPIError, exc.TimeoutError) as error:
        reason = " ".join(str(error.orig if isinstance(error, exc.DBAPIError) else error).split()).rstrip(".")
        raise LogUnavailable(
            f"The log {place} cannot be reached or written: {reason}. Nothing was logged; check "
            "that the database runs, is writable and has free disk space, then try again."
        ) from error


def log_url(place: str | Path) -> URL:
    """Return the URL of a log's database; a path or text without ``://`` is an SQLite file.

    Raises:
        OutputError: it is no URL, or not one of SQLite or PostgreSQL.
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
        return url.set(drivername="postgresql+psycopg").update_query_dict({**_POSTGRESQL_OPTIONS, **url.query})
    raise OutputError(
        f"The log {describe_log_url(url)} is neither an SQLite file nor a PostgreSQL database; give a path, or "
        "a URL such as postgresql://USER@HOST/DATABASE"
    )


def describe_log_url(url: URL) -> str:
    """Return the name of a log's database for messages, without passwords, also those in the URL's options."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string()


def create_log_engine(url: URL) -> Engine:
    """Create an engine, without connecting yet; create a missing SQLite file.

    Raises:
        LogUnavailable: an SQLite file is missing and cannot be created.
    """
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, pool_timeout=_CONNECTION_TIMEOUT)
    assert url.database
    path = Path(url.database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)  # SQLite gives its journal the same mode
        for file in (path, *journal_paths(path)):
            with suppress(FileNotFoundError):
                restrict_to_owner(file)
    except OSError as error:
        raise LogUnavailable(f"The log {path} cannot be opened or created: {error}") from error
    engine = create_engine(url, pool_timeout=_CONNECTION_TIMEOUT, connect_args={"timeout": _CONNECTION_TIMEOUT})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def reading_engine(engine: Engine) -> Engine:
    """Return the engine with snapshot isolation for its transactions."""
    if engine.dialect.name == "sqlite":
        return engine  # its transactions are isolated anyway
    reading = engine.execution_options(isolation_level="REPEATABLE READ")
    # PostgreSQL's JIT compilation takes longer than it saves here.
    event.listen(reading, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL jit TO off"))
    return reading


def writing_engine(engine: Engine) -> Engine:
    """Return the engine for writing; commits are flushed to the disk."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(writes=True)
    writing = engine.execution_options()
    # Whatever the server's setting.
    event.listen(writing, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL synchronous_commit TO on"))
    return writing


def migrate_tables(connection: Connection) -> None:
    """Create the tables, or migrate those of an older version, within the transaction.

    Raises:
        OutputError: the database contains something else, or was written by a newer version.
    """
    if connection.dialect.name == "postgresql":
        # SQLite's write transactions lock anyway.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    tables = inspect(connection).get_table_names()
    if tables and VERSION_TABLE not in tables:
        raise OutputError(
            f"The database contains something other than a log ({_abbreviate(tables)}); use a separate database"
        )
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "transactional_ddl": True})
    scripts = ScriptDirectory(str(_MIGRATIONS))
    current, known = context.get_current_revision(), {script.revision for script in scripts.walk_revisions()}
    if current and current not in known:
        raise OutputError(
            f"The log was written by a newer version of Clearcast (schema version {current}); update "
            "Clearcast, or use another log"
        )
    for script in reversed(list(scripts.iterate_revisions("head", current or "base"))):
        with Operations.context(context):
            script.module.upgrade()
    if current != scripts.get_current_head():
        context.stamp(scripts, "head")


def _abbreviate(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - depends on SQLAlchemy's driver
    connection.isolation_level = None  # transactions are started by _begin_sqlite, not by the driver
    settings = (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"journal_size_limit = {JOURNAL_LIMIT_BYTES}",
    )
    for setting in settings:
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    """Begin a transaction; lock at once for writing, since upgrading a read lock may fail."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
