"""The log after crashes, with a full disk, a stopped server, and databases that are not a log."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from clearcast.core.errors import OutputError
from clearcast.station.log import InspectionLog, LogUnavailable, open_log
from clearcast.station.log.database import create_log_engine
from clearcast.station.log.database import log_url as parse_log_url
from clearcast.station.log.schema import metadata
from clearcast.station.records import InspectionFilter
from tests.servers import Postgres
from tests.station.logged import ENTRY, make_feedback

ROOT = Path(__file__).parents[2]  # from which tests are imported
WRITER_SCRIPT = """
import sys
from dataclasses import replace
from tests.station.logged import ENTRY
from clearcast.station.log import open_log
log = open_log(sys.argv[1])
number = 0
while True:
    ids = log.write([replace(ENTRY, name=str(number + more)) for more in range(3)])
    number += 3
    print(*ids, flush=True)
"""


FULL_DISK_SCRIPT = """
import resource
import sys
from tests.station.logged import ENTRY
from clearcast.station.log import LogUnavailable, open_log
from clearcast.station.records import InspectionFilter

def limit_files_to(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

log = open_log(sys.argv[1])
limit_files_to(400_000)
written = 0
try:
    while written < 100_000:
        written += len(log.write([ENTRY] * 20))
except LogUnavailable as error:
    assert "free disk space" in str(error)
else:
    raise AssertionError("the disk never was full")
assert written == log.count(InspectionFilter()).inspections == len(list(log.export(InspectionFilter())))
limit_files_to(resource.RLIM_INFINITY)
log.write([ENTRY])
assert log.count(InspectionFilter()).inspections == written + 1
print("recovered")
"""


def test_answered_inspections_survive_kill_9(log_url: str) -> None:
    printed: list[int] = []
    for lines in (1, 5, 12):
        command = [sys.executable, "-c", WRITER_SCRIPT, log_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout
            lines_read = [writer.stdout.readline() for _ in range(lines)]
            writer.kill()
            lines_read += writer.stdout.readlines()
        printed += [int(number) for line in lines_read if line.endswith("\n") for number in line.split()]

        log = open_log(log_url)
        logged = [record.id for record in log.export(InspectionFilter())]
        assert set(printed) <= set(logged)
        assert log.count(InspectionFilter()).inspections == len(logged)  # roll-ups are of the same transactions
        assert len(logged) % 3 == 0
        log.close()
    assert len(printed) >= 3 * (1 + 5 + 12)


def test_a_full_disk_is_reported_and_nothing_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK_SCRIPT, str(tmp_path / "log.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    assert (done.stdout, done.stderr) == ("recovered\n", "")


def test_a_log_recovers_with_its_server(postgres: Postgres) -> None:
    log = open_log(postgres.make("stopped"))
    [number] = log.write([ENTRY])

    postgres.stop()
    try:
        for ask in (
            lambda: log.write([ENTRY]),
            log.ping,
            log.check_writable,
            lambda: log.add_feedback(number, make_feedback()),
            log.models,
            lambda: list(log.export(InspectionFilter())),
        ):
            with pytest.raises(LogUnavailable, match="try again"):
                ask()
        with pytest.raises(LogUnavailable, match="cannot be reached"):
            open_log(postgres.url("stopped"))
    finally:
        postgres.start()

    log.ping()
    log.write([ENTRY])
    assert log.count(InspectionFilter()).inspections == 2
    log.close()


def test_migrations_create_the_declared_tables(log: InspectionLog, log_url: str) -> None:
    log.ping()
    options = {"include_name": lambda name, kind, _: kind != "table" or name != "clearcast_version"}
    engine = create_log_engine(parse_log_url(log_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_reopened_log_has_all_entries(log: InspectionLog, log_url: str) -> None:
    log.write([ENTRY])
    again = open_log(log_url)

    assert again.count(InspectionFilter()).inspections == 1
    again.close()


def test_a_new_log_can_be_opened_concurrently(log_url: str) -> None:
    def work(_: int) -> list[int]:
        log = open_log(log_url)
        numbers = log.write([ENTRY])
        log.close()
        return numbers

    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(work, range(6)))

    assert sorted(numbers) == [[1], [2], [3], [4], [5], [6]]


def test_a_log_of_a_newer_version_is_refused(log: InspectionLog, log_url: str) -> None:
    log.write([ENTRY])
    engine = create_log_engine(parse_log_url(log_url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE clearcast_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(OutputError, match=r"newer version of Clearcast .*9999"):
        open_log(log_url)
    assert log.count(InspectionFilter()).inspections == 1


def test_a_database_with_other_tables_is_refused(log_url: str) -> None:
    engine = create_log_engine(parse_log_url(log_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE customers (name TEXT)"))
    engine.dispose()

    with pytest.raises(OutputError, match=r"something other than a log \(customers\)"):
        open_log(log_url)


def test_a_file_that_is_no_database_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("path,verdict\n" * 1000)

    with pytest.raises(OutputError, match=r"results\.csv is no log"):
        open_log(path)
    assert path.read_text() == "path,verdict\n" * 1000


def test_a_removed_file_is_detected(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.sqlite")
    log.write([ENTRY])
    log.close()
    (tmp_path / "log.sqlite").rename(tmp_path / "elsewhere")

    for ask in (lambda: log.write([ENTRY]), log.ping):
        with pytest.raises(LogUnavailable, match="is missing"):
            ask()

    (tmp_path / "elsewhere").rename(tmp_path / "log.sqlite")
    log.write([ENTRY])
    assert log.count(InspectionFilter()).inspections == 2
    log.close()


def test_an_impossible_path_makes_the_log_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LogUnavailable, match="cannot be opened or created"):
        open_log(tmp_path / "file" / "log.sqlite")
    with pytest.raises(LogUnavailable, match="cannot be reached"):
        open_log(tmp_path)


@pytest.mark.parametrize(
    "url", ["mysql://user:secret@host/base?password=secret", "sqlite://", "sqlite:///:memory:", "://", "a b://c:d"]
)
def test_urls_of_other_databases_are_refused(url: str) -> None:
    with pytest.raises(OutputError, match="postgresql://") as caught:
        open_log(url)
    assert "secret" not in str(caught.value)


def test_messages_contain_no_passwords(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable) as caught:
        open_log(f"postgresql://ana:secret@/base?host={tmp_path}&password=secret")
    assert "secret" not in str(caught.value)
    assert "ana" in str(caught.value)


def test_paths_with_special_characters_are_accepted(tmp_path: Path) -> None:
    for place in (
        tmp_path / "new folder" / "a.sqlite",
        f"{tmp_path}/b?c#d%20.sqlite",
        f"sqlite:///{tmp_path}/e.sqlite",
    ):
        log = open_log(place)
        log.write([ENTRY])
        log.close()

    assert {path.name for path in tmp_path.iterdir()} == {"new folder", "b?c#d%20.sqlite", "e.sqlite"}


def test_sqlite_commits_are_flushed(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.sqlite")
    with log._writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # full
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    log.close()

    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
