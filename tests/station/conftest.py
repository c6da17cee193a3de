"""Fixtures of the station's tests: setups with fake bundles, a client, and a browser on the page."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.station.services import ServiceSetup, make_service_setup
from tests.station.stations import StationSetup, make_station_setup

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.station.pages import PageVisit


@pytest.fixture
def service_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceSetup:
    """An inspection service with a fake bundle and a fake log, not started."""
    return make_service_setup(tmp_path, monkeypatch)


@pytest.fixture
def station_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StationSetup]:
    """A station with a fake bundle, not started."""
    with make_station_setup(tmp_path, monkeypatch) as setup:
        yield setup


@pytest.fixture
def client(station_setup: StationSetup) -> Iterator[httpx.Client]:
    """A client of a running station."""
    with station_setup.start() as opened:
        yield opened


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A browser, one for all tests of a module."""
    from tests.station.pages import start_chromium  # loads playwright

    with start_chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser: "Browser", client: httpx.Client) -> "Iterator[PageVisit]":
    """A visit to the page of a running station."""
    from tests.station.pages import open_page

    with open_page(browser, client) as opened:
        yield opened
