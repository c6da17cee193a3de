"""``clearcast benchmark BUNDLE SOURCE``: its counts and output, never the speed itself."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from clearcast.cli import build_application
from clearcast.inference import speed
from clearcast.inference.sources import Source, SourceError
from clearcast.inference.speed import SpeedRequest, SpeedResult, measure_peak_memory, measure_speed
from tests.inference.handmade import write_bundle, write_images


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("made") / "bundle")


def measure(bundle: Path, source: Source, *, suffix: str | None = None, limit: int = 500) -> SpeedResult:
    return measure_speed(
        SpeedRequest(
            bundle=bundle,
            source=source,
            limit=limit,
            threads=2,
            suffix=suffix,
            console=Console(quiet=True),
        )
    )


def benchmark(*arguments: object) -> Result:
    return CliRunner().invoke(build_application(["benchmark"]), ["benchmark", *map(str, arguments)])


def test_every_image_counts_once_and_bad_ones_do_not_stop_the_rest(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path, 12)
    (tmp_path / "bad.png").write_bytes(b"bad")

    speed = measure(bundle, tmp_path)

    assert (speed.images, speed.errors, speed.threads) == (13, 1, 2)
    assert set(speed.stages) == {"read", "hash", "decode", "infer", "statistics", "row"}
    assert min(speed.loading, speed.inspecting, speed.decoding, *speed.stages.values()) > 0


def test_the_stages_are_those_of_an_inspection(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path, 3)

    assert "write" in measure(bundle, tmp_path, suffix=".jpg").stages
    assert len(list(tmp_path.iterdir())) == 3  # no file is left there


def test_no_more_than_the_limit_is_measured(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path, 7)

    assert measure(bundle, tmp_path, limit=4).images == 4


def test_bad_images_have_rows_but_no_stages(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"bad")

    speed = measure(bundle, tmp_path)

    assert speed.errors == 1
    assert set(speed.stages) == {"row"}


def test_arrays_are_not_decoded(bundle: Path) -> None:
    with pytest.raises(SourceError, match="expected image files, which are decoded"):
        measure(bundle, [np.zeros((32, 32), np.uint8)])


def test_peak_memory_includes_an_array() -> None:
    before = measure_peak_memory()
    assert before is not None
    array = np.ones(40_000_000 + before, np.uint8)

    after = measure_peak_memory()

    assert after is not None
    assert after >= before + 40_000_000
    assert array.any()


def test_the_command_prints_stages_rate_and_ratio(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "parts", 3)
    stages = {"read": 0.001, "decode": 0.001, "infer": 0.006, "write": 0.002}
    result = SpeedResult(
        model="castings 12345678",
        images=100,
        errors=1,
        threads=2,
        loading=0.5,
        inspecting=10.0,
        decoding=2.5,
        stages=stages,
        peak=600 * 2**20,
    )
    requests: list[SpeedRequest] = []

    def fake_measure_speed(request: SpeedRequest) -> SpeedResult:
        requests.append(request)
        return result

    monkeypatch.setattr(speed, "measure_speed", fake_measure_speed)

    done = benchmark(bundle, tmp_path / "parts", "--denoised", "jpg", "--threads", 2)

    assert done.exit_code == 0, done.output
    assert (requests[0].suffix, requests[0].threads, requests[0].limit) == (".jpg", 2, 500)
    assert "10.0 a second, 1/4.0 of only reading and decoding them (40.0 a second)" in done.output
    assert "at most 600 MB of memory" in done.output
    assert "60.0%" in done.output
    assert "1 image could not be inspected" in done.output


def test_the_command_measures_a_bundle(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path, 3)

    done = benchmark(bundle, tmp_path)

    assert done.exit_code == 0, done.output
    assert "3 images by bundle" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rivals", "median"], "--rivals: works only with clearcast benchmark SHEET"),
        (["--budget", "3", "--resume"], "--budget, --resume: works only with clearcast benchmark SHEET"),
    ],
)
def test_options_of_the_other_benchmark_are_rejected(
    bundle: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = benchmark(bundle, tmp_path, *arguments)

    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", "").split())


def test_a_bundle_without_images_and_threads_with_a_sheet_are_rejected(bundle: Path, tmp_path: Path) -> None:
    without_images, with_sheet = benchmark(bundle), benchmark(tmp_path / "Labels.xlsx", "--threads", 2)

    assert without_images.exit_code == with_sheet.exit_code == 2
    assert "give the images too" in " ".join(without_images.output.replace("│", "").split())
    assert "--threads: works only with clearcast benchmark BUNDLE SOURCE" in " ".join(
        with_sheet.output.replace("│", "").split()
    )
