"""Shared fixtures: a small data set, made with the package's own commands; a small bundle; databases and logs."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from markupsafe import Markup

from clearcast.synth.corruption import degrade_folder
from clearcast.synth.disks import write_disks

if TYPE_CHECKING:
    from clearcast.station.log import InspectionLog
    from tests.servers import Postgres


def pytest_configure() -> None:
    """Let processes that tests start receive Ctrl-C, also if the tests run in the background of a script."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def noisy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered disks of 64 pixels with noise: With-Noise, Without-Noise, Labels.xlsx. Not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    write_disks(folder / "disks", parts=12, seed=1, size=64, views=(3, 3))
    degrade_folder(folder / "disks", folder / "noisy", seed=1)
    return folder / "noisy"


@pytest.fixture(scope="session")
def bundle(noisy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for grey images, of recipe clear, as a folder named "bundle". Not to be changed."""
    from tests.small_bundle import write_small_bundle  # it loads torch

    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        write_small_bundle(folder, noisy_folder)
        return folder
    shared = tmp_path_factory.getbasetemp().parent / "bundle"  # an export takes half a minute: one worker does it
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            write_small_bundle(folder, noisy_folder)
            folder.rename(shared)
    return shared


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Postgres]":
    """A PostgreSQL server. A test that stops it starts it again."""
    from tests.servers import Postgres  # it loads the database's driver

    if not Postgres.installed():
        message = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        if os.environ.get("CLEARCAST_NEEDS_SERVERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres_url(postgres: "Postgres") -> str:
    """The URL of a PostgreSQL database, empty when the session begins."""
    return postgres.make("clearcast")


@pytest.fixture(scope="session")
def _cleared_url(postgres: "Postgres") -> str:
    return postgres.make("cleared")


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a log in each kind of database; there is no log yet."""
    if request.param == "sqlite":
        return str(tmp_path / "log.sqlite")
    server: Postgres = request.getfixturevalue("postgres")
    url: str = request.getfixturevalue("_cleared_url")
    server.clear("cleared")
    return url


@pytest.fixture
def log(log_url: str) -> "Iterator[InspectionLog]":
    """An empty log in each kind of database."""
    from clearcast.station.log import open_log

    opened = open_log(log_url)
    yield opened
    opened.close()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures empty if a test reads only text: drawing takes nearly all of a page's time."""

    def save_empty(_: object, path: Path) -> Markup:
        path.write_bytes(b"")
        return Markup("")

    monkeypatch.setattr("clearcast.report.charts.style.save_png_and_svg", save_empty)
