"""Backups of a log, and logs with missing files."""

import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clearcast.cli import build_application
from clearcast.core.errors import OutputError
from clearcast.station.image_store import ImageStore
from clearcast.station.log import LogUnavailable, open_log
from clearcast.station.log.backup import back_up_log
from clearcast.station.records import InspectionFilter
from tests.station.logged import ENTRY, fill_log, make_feedback


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A station's folder with a log of 200 inspections."""
    folder = tmp_path / "data"
    with closing(open_log(folder / "log.sqlite")) as log:
        fill_log(log, count=200, within=10_000)
    return folder


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_backup_has_the_content_of_the_log(data: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    back_up_log(str(data), tmp_path / "copy.sqlite", lambda done, of: steps.append((done, of)))

    with closing(open_log(data / "log.sqlite")) as log, closing(open_log(tmp_path / "copy.sqlite")) as copy:
        assert list(copy.export(InspectionFilter())) == list(log.export(InspectionFilter()))
        assert copy.count(InspectionFilter()) == log.count(InspectionFilter())
        copy.write([ENTRY])
    assert steps[-1][0] == steps[-1][1] > 0
    assert mode_of(tmp_path / "copy.sqlite") == 0o600


def test_a_backup_during_writes_is_one_snapshot(data: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with closing(open_log(data / "log.sqlite")) as log:  # connections of its own, as another process has
            while not stop.is_set():
                for number in log.write([ENTRY] * 7):
                    log.add_feedback(number, make_feedback())

    with closing(open_log(data / "log.sqlite")) as log:
        log.write([ENTRY] * 30_000)  # so that a copy takes several steps
        writers = [threading.Thread(target=write) for _ in range(2)]
        for thread in writers:
            thread.start()
        try:
            for number in range(3):
                back_up_log(str(data / "log.sqlite"), tmp_path / f"{number}.sqlite")
        finally:
            stop.set()
            for thread in writers:
                thread.join()

    for number in range(3):
        with closing(sqlite3.connect(tmp_path / f"{number}.sqlite")) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            (rows, last) = copy.execute("SELECT count(*), max(id) FROM inspections").fetchone()
            (counted,) = copy.execute("SELECT sum(inspections) FROM tallies WHERE width = 60000").fetchone()
        assert rows == last == counted, "whole transactions, all up to a moment"
        assert rows % 7 == 30_200 % 7
    assert {path.name for path in tmp_path.iterdir()} == {"data", "0.sqlite", "1.sqlite", "2.sqlite"}


def test_existing_files_are_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to("nowhere")
    for out in ("file", "link", "data"):
        with pytest.raises(OutputError, match="will not be overwritten"):
            back_up_log(str(data), tmp_path / out)
    assert (tmp_path / "file").read_text() == "a file"
    assert not (tmp_path / "nowhere").exists()


def test_other_files_are_refused_and_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("path,verdict\n" * 1000)
    (tmp_path / "empty").touch()
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE customers (name TEXT)")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    for name in ("text", "empty", "other", "missing", "."):
        with pytest.raises(OutputError, match=r"log"):
            back_up_log(str(tmp_path / name), tmp_path / "copy")
    with pytest.raises(OutputError, match="pg_dump") as error:
        back_up_log("postgresql://ana:secret@db/inspections", tmp_path / "copy")
    assert "secret" not in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_backup_into_a_missing_folder_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        back_up_log(str(data), tmp_path / "missing" / "copy")


def test_a_damaged_log_gives_no_backup(data: Path, tmp_path: Path) -> None:
    path = data / "log.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:40_000] + os.urandom(20_000) + whole[60_000:])

    with pytest.raises((OutputError, LogUnavailable)):
        back_up_log(str(data), tmp_path / "copy")
    assert [each.name for each in tmp_path.iterdir()] == ["data"]


def test_the_command_backs_up_and_explains_how_to_restore(data: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(build_application(["log"]), ["log", "backup", str(data), str(tmp_path / "copy.sqlite")])

    assert done.exit_code == 0, done.output
    assert "To restore it, stop the station" in done.output
    for path in data.iterdir():  # as the message says
        path.rename(tmp_path / path.name)
    (tmp_path / "copy.sqlite").rename(data / "log.sqlite")
    with closing(open_log(data / "log.sqlite")) as log:
        assert log.count(InspectionFilter()).inspections == 200


@pytest.fixture
def image_folder(data: Path) -> Path:
    image_store = ImageStore(data / "pictures")
    image_store.put(b"an image")
    return data / "pictures"


def test_an_emptied_log_with_images_is_refused(data: Path, image_folder: Path) -> None:
    for content in (b"", _without_tables(data)):
        (data / "log.sqlite").write_bytes(content)
        with pytest.raises(OutputError, match=r"has no tables.*log\.sqlite-wal.*log backup") as error:
            open_log(data / "log.sqlite", image_folder=image_folder)
        assert str(image_folder) in str(error.value)
        assert (data / "log.sqlite").read_bytes() == content
        (data / "log.sqlite").write_bytes(content)
    (data / "log.sqlite").unlink()  # as the message says
    open_log(data / "log.sqlite", image_folder=image_folder).close()


def _without_tables(data: Path) -> bytes:
    """What is left of a new log whose journal was removed before it came into the file."""
    path = data / "new.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE inspections (id INTEGER)")
        content = path.read_bytes()
    path.unlink()
    assert content
    return content


def test_a_journal_removed_after_kill_9_is_detected(data: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    with closing(open_log(data / "log.sqlite")) as log:
        log.write([ENTRY])
        for path in data.glob("log.sqlite*"):
            (killed / path.name).write_bytes(path.read_bytes())
    (killed / "log.sqlite-wal").unlink()

    with pytest.raises(OutputError, match=r"log\.sqlite-wal was removed.*the latest entries are missing"):
        open_log(killed / "log.sqlite")
    (killed / "log.sqlite-shm").unlink()  # as the message says
    with closing(open_log(killed / "log.sqlite")) as log:
        assert log.count(InspectionFilter()).inspections == 200


def test_a_new_log_without_journal_and_index_after_kill_9_is_refused(tmp_path: Path) -> None:
    ImageStore(tmp_path / "pictures").put(b"an image")
    (tmp_path / "killed").mkdir()
    with closing(open_log(tmp_path / "log.sqlite")) as log:
        log.write([ENTRY])
        (tmp_path / "killed" / "log.sqlite").write_bytes((tmp_path / "log.sqlite").read_bytes())

    with pytest.raises(OutputError, match="has no tables"):
        open_log(tmp_path / "killed" / "log.sqlite", image_folder=tmp_path / "pictures")


def test_entries_survive_removal_of_the_journal_during_use(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_log(data / "log.sqlite")) as log:
        for _ in range(4):
            log.write([ENTRY] * 50)
            (data / "log.sqlite-wal").unlink()
            assert log.write([ENTRY])
            assert log.count(InspectionFilter()).inspections == len(list(log.export(InspectionFilter())))
        copy = tmp_path / "as kill -9 leaves it"
        copy.mkdir()
        for path in data.glob("log.sqlite*"):
            (copy / path.name).write_bytes(path.read_bytes())
        assert log.count(InspectionFilter()).inspections == 200 + 4 * 51
    assert caplog.text.count("was removed while it was in use") == 4
    with closing(open_log(copy / "log.sqlite")) as log:
        assert log.count(InspectionFilter()).inspections == 200 + 4 * 51
    back_up_log(str(copy), tmp_path / "copy.sqlite")


def test_a_journal_without_its_log_is_refused(data: Path) -> None:
    (data / "log.sqlite").unlink()
    (data / "log.sqlite-wal").write_bytes(b"a journal")

    with pytest.raises(OutputError, match=r"is missing, but its journal log\.sqlite-wal exists"):
        open_log(data / "log.sqlite")
    assert not (data / "log.sqlite").exists()


def test_a_new_log_beside_images_is_reported(data: Path, image_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in data.glob("log.sqlite*"):
        path.unlink()
    with caplog.at_level(logging.WARNING):
        open_log(data / "log.sqlite", image_folder=image_folder).close()
    assert "starting a new log" in caplog.text
    caplog.clear()
    open_log(data / "log.sqlite", image_folder=image_folder).close()
    assert not caplog.messages


@pytest.fixture
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_umask")
def test_a_log_is_readable_by_its_owner_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "data" / "log.sqlite"
    with closing(open_log(path)) as log:
        log.write([ENTRY])
        modes = {each.name: mode_of(each) for each in path.parent.iterdir()}
        assert modes == dict.fromkeys(("log.sqlite", "log.sqlite-wal", "log.sqlite-shm"), 0o600)
        assert mode_of(path.parent) == 0o700
        assert not caplog.messages
        for each in path.parent.iterdir():
            each.chmod(0o644)
        with closing(open_log(path)):
            assert {mode_of(each) for each in path.parent.iterdir()} == {0o600}
    assert "log.sqlite: was readable by every user of this machine" in caplog.text
