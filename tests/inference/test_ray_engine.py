"""The Ray engine gives the rows of one machine, even if an actor dies."""

import csv
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from clearcast.cli.predict import Engine, predict
from clearcast.core.errors import MissingDependencyError, OutputError
from clearcast.inference import ray_engine
from clearcast.inference.sources import SourceError, SourceItem
from tests.inference.handmade import write_bundle, write_images

MAIN = "from clearcast.cli import main; main()"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("made") / "bundle")


def command(bundle: Path, out: str, *options: str) -> list[str]:
    return [sys.executable, "-c", MAIN, "predict", str(bundle), "parts", "--out", out, "--threads", "2", *options]


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows sorted by path, without the inference time."""
    with path.open(encoding="utf-8", newline="") as file:
        return sorted(({**row, "ms": ""} for row in csv.DictReader(file)), key=lambda row: row["path"])


def actors_below(ancestor: int) -> list[int]:
    """Find the descendants of a process that are Ray actors."""
    parents: dict[int, int] = {}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue

    def descends(process: int) -> bool:
        return process == ancestor or (process in parents and descends(parents[process]))

    return [process for process in found if descends(process)]


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray: pip install 'clearcast[ray]'")
@pytest.mark.skipif(sys.platform != "linux", reason="looks for Ray's processes in /proc")
def test_rows_equal_those_of_one_machine_if_an_actor_is_killed(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 100)
    subprocess.run(command(bundle, "cluster.csv"), cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    write_images(tmp_path / "parts" / "more", 500, shape=(96, 128), seed=3)
    (tmp_path / "parts" / "bad.png").write_bytes(b"no image")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    on_ray = command(bundle, "cluster.csv", "--engine", "ray", "--resume")
    partial, pipe = tmp_path / "cluster.csv.partial", subprocess.PIPE
    with subprocess.Popen(on_ray, cwd=tmp_path, env=environment, text=True, stdout=pipe, stderr=pipe) as process:
        while process.poll() is None and not (partial.exists() and partial.read_bytes().count(b"\n") > 101):
            time.sleep(0.01)
        os.kill(actors_below(process.pid)[0], signal.SIGKILL)  # while it works on the next block
        out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert "501 images inspected" in out
    assert "100 inspected before" in out
    subprocess.run(command(bundle, "local.csv"), cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert rows_of(tmp_path / "cluster.csv") == rows_of(tmp_path / "local.csv")
    assert len(rows_of(tmp_path / "local.csv")) == 601


def test_an_item_that_cannot_be_pickled_is_rejected() -> None:
    unpicklable = SourceItem(name="belt.mp4#000001", key="#000001", read=lambda: b"")
    with pytest.raises(SourceError, match=r"belt.mp4#000001: .*leave out --engine ray"):
        ray_engine._pickle_items([unpicklable])


def test_a_missing_ray_explains_how_to_install_it(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "parts", 1)
    monkeypatch.setattr(ray_engine, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"clearcast\[ray\]"):
        predict(bundle, str(tmp_path / "parts"), tmp_path / "r.csv", engine=Engine.RAY)
    assert not list(tmp_path.glob("r.csv*"))


def test_output_images_are_rejected_on_ray(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="rows, no images"):
        predict(bundle, "parts", tmp_path / "r.csv", denoised=tmp_path / "d", engine=Engine.RAY)
