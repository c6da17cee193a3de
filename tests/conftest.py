"""What several tests need: a small data set in the report's layout, made as a user makes it; a small bundle."""

import os
import signal
from pathlib import Path

import pytest
from filelock import FileLock
from markupsafe import Markup

from clearcast.data.corrupt import corrupt_folder
from clearcast.disks import write_disks


def pytest_configure() -> None:
    """Let processes that tests start hear Ctrl-C, also where these tests run in the background of a script."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def noisy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered disks of 64 pixels with noise: With-Noise, Without-Noise, Labels.xlsx. Not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    write_disks(folder / "disks", parts=12, seed=1, size=64, views=(3, 3))
    corrupt_folder(folder / "disks", folder / "noisy", seed=1)
    return folder / "noisy"


@pytest.fixture(scope="session")
def bundle(noisy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for grey pictures, of recipe clear, as a folder named "bundle". Not to be changed."""
    from small_bundle import write_small_bundle  # it loads torch

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


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures empty where a test reads only words: drawing takes nearly all of a page's time."""

    def keep(_: object, path: Path) -> Markup:
        path.write_bytes(b"")
        return Markup("")

    monkeypatch.setattr("clearcast.report.figures.keep", keep)
