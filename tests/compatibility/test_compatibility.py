"""Bundles, results, runs and logs that an earlier version of Clearcast wrote still work.

``made-by-0.1.0.zip`` was written by commit 73cb7d5 with its own commands: 36 noisy images of rendered disks; a bundle
whose weights are a short random pattern, repeated so that it packs well; a signed bundle of hand-made graphs; results
of both bundles; an evaluation; two stages of a study; a station's folder, and its log as CSV.
"""

import csv
import shutil
import zipfile
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from clearcast.cli import build_application
from clearcast.inference.sinks import read_results
from clearcast.inference.verification import verify_bundle
from clearcast.pipelines.networks import load_networks
from clearcast.station.log import open_log
from clearcast.train.run_directory import read_run_csv

ARCHIVE = Path(__file__).with_name("made-by-0.1.0.zip")
WITH_FEEDBACK = "With-Noise/pictures/disk_def_0001_1.jpeg"  # the image that has feedback in the log
UNCOMPARED = {"ms", "model", "modified", "size", "denoised", "heatmap"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def made(unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the archive's content, as the working directory, with the images at the paths of the results."""
    folder = Path(shutil.copytree(unpacked, tmp_path / "made"))
    (folder / "data").rename(folder / "noisy")
    monkeypatch.chdir(folder)
    return folder


def run(*arguments: str) -> None:
    build_application([arguments[0]])(list(arguments), standalone_mode=False)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def rows_agree(new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether two rows agree, numbers within the tolerance for another processor."""

    def values_agree(a: str, b: str) -> bool:
        try:
            return float(a) == pytest.approx(float(b), abs=2e-3, rel=1e-3)
        except ValueError:
            return a == b

    return new.keys() == old.keys() and all(
        values_agree(str(new[name]), str(old[name])) for name in new.keys() - UNCOMPARED
    )


def test_an_old_bundle_is_verified_and_inspects_as_before(made: Path) -> None:
    assert verify_bundle(made / "bundle.zip").golden_samples == 4

    run("predict", "bundle.zip", "noisy/With-Noise", "--out", "new.csv")

    new, old = rows_of(made / "new.csv"), rows_of(made / "results.csv")
    assert len(new) == len(old) == 36
    assert all(rows_agree(*pair) for pair in zip(new, old, strict=True))


def test_the_networks_of_an_old_bundle_are_read(made: Path) -> None:
    networks, _ = load_networks(made / "bundle.zip")

    assert networks.classifier is not None


def test_an_old_bundle_is_evaluated_as_before(made: Path) -> None:
    run("evaluate", "bundle.zip", "noisy/Labels.xlsx", "--out", "new")

    new, old = rows_of(made / "new" / "predictions.csv"), rows_of(made / "evaluated" / "predictions.csv")
    assert len(new) == len(old) == 36
    assert all(rows_agree(*pair) for pair in zip(new, old, strict=True))


def test_an_old_signature_is_trusted(made: Path) -> None:
    run("predict", "handmade.zip", "noisy/With-Noise", "--out", "new.csv", "--trust", "line.pub")

    assert all(
        rows_agree(*pair) for pair in zip(rows_of(made / "new.csv"), rows_of(made / "predicted.csv"), strict=True)
    )


def test_old_results_are_read_in_every_format(made: Path) -> None:
    tables = [list(read_results(made / f"predicted.{suffix}")) for suffix in ("csv", "jsonl", "parquet")]

    assert [len(table) for table in tables] == [36, 36, 36]
    for rows in zip(*tables, strict=True):
        assert len({(row["path"], row["sha256"], row["verdict"], row["noise_type"]) for row in rows}) == 1
        assert len({round(float(row["p_defect"]), 5) for row in rows}) == 1


def test_old_results_that_were_interrupted_are_resumed(made: Path) -> None:
    (made / "half.csv.partial").rename(made / "whole.csv.partial")

    run("predict", "handmade.zip", "noisy/With-Noise", "--out", "whole.csv", "--resume")

    new, old = (sorted(rows_of(made / name), key=itemgetter("path")) for name in ("whole.csv", "predicted.csv"))
    assert len(new) == len(old)
    assert all(rows_agree(*pair) for pair in zip(new, old, strict=True))


def test_an_old_run_is_reported_and_resumed(made: Path) -> None:
    before = read_run_csv(made / "study" / "noisy" / "predictions.csv")

    run("report", "study")
    run("study", "noisy/Labels.xlsx", "--out", "study", "--size", "64", "--epochs", "1", "--stages", "1,2", "--resume")

    assert (made / "study" / "report.html").stat().st_size > 100_000
    assert read_run_csv(made / "study" / "noisy" / "predictions.csv").equals(before)


def test_an_old_log_is_opened_and_its_feedback_exported(made: Path) -> None:
    log = open_log(made / "station" / "log.sqlite")
    old = {int(row["id"]): row for row in rows_of(made / "log.csv")}
    try:
        records = {number: log.record(number) for number in old}
    finally:
        log.close()
    for number, record in records.items():
        assert record
        entry = record.entry
        assert (entry.sha256, entry.name) == (old[number]["sha256"], old[number]["name"])
        assert str(entry.verdict or "") == old[number]["verdict"]

    run("feedback", "station", "--out", "feedback/Labels.xlsx")

    images = [path for path in (made / "feedback").rglob("*") if path.suffix in (".jpg", ".jpeg")]
    assert [path.read_bytes() for path in images] == [(made / "noisy" / name).read_bytes() for name in [WITH_FEEDBACK]]
