"""``clearcast predict`` and ``clearcast.load`` on a bundle with known predictions."""

import csv
import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import clearcast
from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import MANIFEST_FILE, write_manifest
from clearcast.cli import build_application
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import ClearcastError, OutputError
from clearcast.core.files import find_image_files
from clearcast.inference import image_outputs as image_outputs_module
from clearcast.inference.drift_statistics import REFERENCE_FILE
from clearcast.inference.image_outputs import ImageOutputs, ImageOutputWriter
from clearcast.inference.inspector import Inspector, available_cores
from clearcast.inference.sinks import open_results_writer
from clearcast.inference.sources import SourceError, iterate_source
from clearcast.inference.sources.folders import pattern_items
from clearcast.types import Verdict
from tests.core import image_bombs
from tests.inference.handmade import expected_denoised, uniform_image, write_bundle, write_images

MAIN = "from clearcast.cli import main; main()"
REFERENCE: dict[str, object] = {
    "pictures": "test",
    "numbers": {"brightness": {"count": 9, "quantiles": [0.0] * 9}},
    "noise_types": {},
    "verdicts": {},
}
HEAVY = {"torch", "lightning", "matplotlib", "sklearn", "skimage", "scipy", "pandas", "onnx"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("made") / "bundle")


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(build_application(["predict"]), ["predict", *map(str, arguments)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_one_row_per_image(bundle: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path / "parts", 9)
    (tmp_path / "parts" / "bad.png").write_bytes(b"bad")
    done = predict(bundle, tmp_path / "parts", "--out", tmp_path / "results.csv", "--threads", 2)
    assert done.exit_code == 0, done.output
    rows = rows_of(tmp_path / "results.csv")
    assert [Path(row["path"]).name for row in rows] == [*images, "bad.png"]
    for row, image in zip(rows, images.values(), strict=False):
        p_defect = 1 - expected_denoised(image).mean() / 255
        assert float(row["p_defect"]) == pytest.approx(p_defect, abs=1e-4)
        assert row["verdict"] == ("defect" if p_defect > 0.5 else "ok")
        assert row["error"] == ""
    assert "unknown image format" in rows[-1]["error"]
    defects = sum(row["verdict"] == "defect" for row in rows)
    assert f"{defects} defect" in done.output
    assert "1 image could not be inspected" in done.output


def test_image_outputs_are_written(bundle: Path, tmp_path: Path) -> None:
    folder, denoised, heat = tmp_path / "parts", tmp_path / "out" / "denoised", tmp_path / "out" / "heat"
    images = write_images(folder, 3) | {
        f"b/{name}": each for name, each in write_images(folder / "b", 2, seed=5).items()
    }
    done = predict(bundle, folder, "--out", tmp_path / "r.csv", "--denoised", denoised, "--heatmaps", heat)
    assert done.exit_code == 0, done.output
    assert {path.relative_to(denoised).as_posix() for path in find_image_files(denoised)} == set(images)
    for name, image in images.items():
        np.testing.assert_array_equal(imaging.load_image(denoised / name, Channels.GREY), expected_denoised(image))
        assert imaging.load_image(heat / f"{name}.jpg", Channels.RGB).shape == (*image.shape, 3)
    for row in rows_of(tmp_path / "r.csv"):
        name = Path(row["path"]).relative_to(folder).as_posix()
        assert (row["denoised"], row["heatmap"]) == (str(denoised / name), str(heat / f"{name}.jpg"))


def test_denoised_images_as_jpeg(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 1)
    arguments = (bundle, tmp_path / "parts", "--out", tmp_path / "r.csv", "--denoised", tmp_path / "d")
    assert predict(*arguments, "--denoised-format", "jpg").exit_code == 0
    assert [path.name for path in find_image_files(tmp_path / "d")] == ["0000.png.jpg"]


def test_images_with_the_same_stem_do_not_overwrite_each_other(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    shades = {"a.bmp": 10, "a.png": 60, "a.tiff": 110, "a.webp": 160}
    for name, grey in shades.items():
        imaging.save_image(folder / name, uniform_image(grey))
    assert predict(bundle, folder, "--out", tmp_path / "r.csv", "--denoised", tmp_path / "d").exit_code == 0
    names = {"a.bmp": "a.bmp.png", "a.png": "a.png", "a.tiff": "a.tiff.png", "a.webp": "a.webp.png"}
    assert {Path(row["path"]).name: row["denoised"] for row in rows_of(tmp_path / "r.csv")} == {
        name: str(tmp_path / "d" / written) for name, written in names.items()
    }
    for name, grey in shades.items():
        written = imaging.load_image(tmp_path / "d" / names[name], Channels.GREY)
        np.testing.assert_allclose(np.median(written), 200 - grey // 2, atol=1)


@pytest.mark.parametrize("key", ["../../a.png", "/etc/a.png", "b/../../../a.png"])
def test_no_image_is_written_outside_its_folder(bundle: Path, tmp_path: Path, key: str) -> None:
    inspector = Inspector(open_package(bundle))
    (item,) = iterate_source(uniform_image(0))
    writer = ImageOutputWriter(ImageOutputs(denoised=tmp_path / "in" / "d"))
    result = writer(inspector.inspect(item, denoise=True), key)
    assert result.restored is None
    (written,) = find_image_files(tmp_path)
    assert written.is_relative_to(tmp_path / "in" / "d")
    assert written.name == "a.png.png"  # an array has no suffix
    assert result.denoised == str(written)


def test_an_image_too_large_for_a_format_keeps_its_verdict_and_is_reported(bundle: Path, tmp_path: Path) -> None:
    imaging.save_image(tmp_path / "parts/a.png", uniform_image(90, 16, 65_600))
    imaging.save_image(tmp_path / "parts/b.png", uniform_image(90, 16, 40))
    options = ("--denoised", tmp_path / "d", "--denoised-format", "jpg", "--heatmaps", tmp_path / "h")

    done = predict(bundle, tmp_path / "parts", "--out", tmp_path / "r.csv", *options, "--fail-on", "error")

    assert done.exit_code == 0, done.output
    assert [(row["verdict"] != "", row["error"]) for row in rows_of(tmp_path / "r.csv")] == [(True, ""), (True, "")]
    output = " ".join(done.output.split())
    assert "1 output file of denoised images and heat maps could not be written" in output
    assert "parts/a.png: 65600 x 16 pixels; .jpg allows at most 65,500 pixels per side" in output
    assert len(find_image_files(tmp_path / "d")) == 1
    shapes = sorted(imaging.load_image(path, Channels.RGB).shape for path in find_image_files(tmp_path / "h"))
    assert shapes == [(15, 65_500, 3), (16, 40, 3)], "a heat map is for people, so it may be shrunk"


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ])
def test_an_unwritable_name_does_not_affect_the_verdict(
    bundle: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "parts", 3)
    with monkeypatch.context() as patched:
        patched.setattr(image_outputs_module, "replace_file", _refusing(number))
        done = predict(bundle, tmp_path / "parts", "--out", tmp_path / "r.csv", "--denoised", tmp_path / "d")

    assert done.exit_code == 0, done.output
    assert all(row["verdict"] and not row["error"] for row in rows_of(tmp_path / "r.csv"))
    assert "3 output files of denoised images and heat maps could not be written" in done.output


def test_a_full_disk_stops_the_run_and_resume_leaves_no_gaps(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "parts", 3)
    arguments = (bundle, tmp_path / "parts", "--out", tmp_path / "r.csv", "--denoised", tmp_path / "d", "--resume")
    with monkeypatch.context() as patched:
        patched.setattr(image_outputs_module, "replace_file", _refusing(errno.ENOSPC))
        done = predict(*arguments)
    assert isinstance(done.exception, OutputError)
    assert "free some space" in str(done.exception)
    assert "--resume" in str(done.exception)

    assert predict(*arguments).exit_code == 0
    assert len(rows_of(tmp_path / "r.csv")) == len(find_image_files(tmp_path / "d")) == 3


def _refusing(number: int) -> Callable[[Path], NoReturn]:
    """Raise an error as a file system does."""

    def replace_file(path: Path) -> NoReturn:
        raise OSError(number, os.strerror(number), str(path))

    return replace_file


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "\u00e4" * 125 + ".png", "n" * 247 + ".png"])
def test_names_of_maximum_length_work(bundle: Path, tmp_path: Path, name: str) -> None:
    imaging.save_image(tmp_path / "parts" / name, uniform_image(90, 32, 32))
    options = ("--denoised", tmp_path / "d", "--heatmaps", tmp_path / "h")

    done = predict(bundle, tmp_path / "parts", "--out", tmp_path / "r.csv", *options)

    assert done.exit_code == 0, done.output
    (row,) = rows_of(tmp_path / "r.csv")
    assert row["verdict"]
    assert len(find_image_files(tmp_path / "d")) == len(find_image_files(tmp_path / "h")) == 1


def test_no_file_stops_a_batch(bundle: Path, tmp_path: Path) -> None:
    """Decompression bombs, multi-page files and damaged ones: each is an error in its own row."""
    (tmp_path / "parts").mkdir()
    several = {kind: data for kind, (data, _) in image_bombs.files_of_several_images().items()}
    files = image_bombs.decompression_bombs() | several | image_bombs.damaged_files()
    for number, data in enumerate(files.values()):
        (tmp_path / "parts" / f"{number:03}.png").write_bytes(data)
    imaging.save_image(tmp_path / "parts/good.png", uniform_image(90, 32, 32))

    done = predict(bundle, tmp_path / "parts", "--out", tmp_path / "r.csv")

    assert done.exit_code == 0, done.output
    *bad, good = rows_of(tmp_path / "r.csv")
    assert len(bad) == len(files)
    assert all(row["error"] and not row["verdict"] for row in bad)
    assert good["verdict"]


def test_nothing_is_overwritten(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 2)
    out = tmp_path / "r.csv"
    out.write_text("mine")
    done = predict(bundle, tmp_path / "parts", "--out", out)
    assert isinstance(done.exception, ClearcastError)
    assert "--resume" in str(done.exception)
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--denoised", "parts"), "lies within"),
        (("--heatmaps", "parts/heat"), "lies within"),
        (("--denoised", "full"), "is not empty"),
        (("--denoised", "d", "--heatmaps", "./d"), "choose two folders"),
        (("--denoised", "parts.csv"), "not a folder"),
    ],
)
def test_invalid_output_folders_are_rejected(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "parts", 1)
    write_images(tmp_path / "full", 1)
    (tmp_path / "parts.csv").write_text("")
    done = predict(bundle, "parts", "--out", "r.csv", *options)
    assert reason in str(done.exception)
    assert not Path("r.csv").exists()


@pytest.mark.parametrize(
    ("pattern", "folder", "found"),
    [
        ("parts/**/*.png", "parts/clean", True),
        ("parts/*/*.png", "parts/clean", True),
        ("**", "clean", True),
        ("parts/*.png", "parts/clean", False),
        ("*.png", "clean", False),
        ("parts/**/*.png", "clean", False),
        ("parts/a*/*.png", "parts/clean", False),
    ],
)
def test_output_folders_that_match_the_pattern_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, folder: str, found: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("parts").mkdir()
    imaging.save_image(Path(folder, "a.png"), uniform_image(0))
    outputs = ImageOutputs(denoised=Path(folder))
    if found:
        with pytest.raises(OutputError, match="lies within"):
            outputs.require_free(Path(pattern), resume=True)
    else:
        outputs.require_free(Path(pattern), resume=True)
    assert (f"{folder}/a.png" in [item.name for item in pattern_items(Path(pattern))]) is found
    assert not Path("r.csv.partial").exists()


def test_outputs_that_a_bundle_lacks_are_rejected(tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 1)
    unclassified = write_bundle(tmp_path / "unclassified", has_classifier=False)
    arguments = (unclassified, tmp_path / "parts", "--out", tmp_path / "r.csv")
    assert "gives no verdicts (every part is ok)" in str(predict(*arguments, "--fail-on", "defect").exception)
    assert "leave out --heatmaps" in str(predict(*arguments, "--heatmaps", tmp_path / "h").exception)
    assert predict(*arguments).exit_code == 0
    (row,) = rows_of(tmp_path / "r.csv")
    assert (row["verdict"], row["p_defect"], row["threshold"]) == ("", "", "")


def with_changed_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the manifest of a bundle, with valid checksums."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    change(manifest)
    write_manifest(folder, manifest)
    return folder


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"threshold": "0.5"}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"trained_on": None}, "trained_on"),
        ({"trained_on": {"sheet": "a", "channels": "ultraviolet"}}, "trained_on"),
        ({"trained_on": {"channels": "grey"}}, "trained_on"),
        ({"judge": {"shape": [64, 64]}, "no_judge": 3}, "judge, no_judge"),
        (
            {"judge": {"shape": [1], "temperature": 1, "threshold": 0, "crossfitted": True, "retake_distance": "1"}},
            "judge",
        ),
        ({"created": 2026}, "created"),
    ],
)
def test_a_manifest_with_wrong_types_is_rejected(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    write_images(tmp_path / "parts", 1)
    folder = with_changed_manifest(write_bundle(tmp_path / "bundle"), lambda manifest: manifest.update(change))
    error = predict(folder, tmp_path / "parts", "--out", tmp_path / "r.csv").exception
    assert isinstance(error, OutputError)
    assert str(error) == f"{folder}: manifest.json has an invalid value for {named}; recreate the bundle"


def test_a_manifest_of_unknown_format_is_rejected(tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 1)
    folder = write_bundle(tmp_path / "bundle")
    for text in ('{"format": [2]}', "[" * 100_000, "\ud800"):
        (folder / MANIFEST_FILE).write_text(text, "utf-8", "surrogatepass")
        error = predict(folder, tmp_path / "parts", "--out", tmp_path / "r.csv").exception
        assert isinstance(error, OutputError), text[:20]


@pytest.mark.parametrize(
    "reference",
    [
        [],
        {"pictures": "test"},
        {**REFERENCE, "numbers": {}},
        {**REFERENCE, "numbers": {"brightness": {"count": 0, "quantiles": [0.0] * 9}}},
        {**REFERENCE, "numbers": {"brightness": {"count": 9, "quantiles": [0.0] * 8}}},
        {**REFERENCE, "numbers": {"brightness": {"count": 9, "quantiles": ["0"] * 9}}},
        {**REFERENCE, "verdicts": {"ok": 2.0}},
        {**REFERENCE, "noise_types": ["gaussian"]},
        {**REFERENCE, "parts": "many"},
    ],
)
def test_a_drift_reference_with_wrong_types_is_rejected(tmp_path: Path, reference: object) -> None:
    write_images(tmp_path / "parts", 1)
    folder = write_bundle(tmp_path / "bundle")
    arguments = (folder, tmp_path / "parts", "--out", tmp_path / "r.csv")
    for result in (REFERENCE, reference):
        (folder / REFERENCE_FILE).write_text(json.dumps(result), "utf-8")
        with_changed_manifest(folder, lambda _: None)
        error = predict(*arguments, "--resume").exception
        assert error is None if result is REFERENCE else "is not a valid drift reference" in str(error)


def test_retakes_are_counted_and_can_fail_a_script(tmp_path: Path) -> None:
    def retake_all(manifest: dict[str, Any]) -> None:
        manifest["judge"]["retake_distance"] = 50.0

    write_images(tmp_path / "parts", 3)
    folder = with_changed_manifest(write_bundle(tmp_path / "bundle"), retake_all)
    arguments = (folder, tmp_path / "parts", "--out", tmp_path / "r.csv", "--resume", "--fail-on")
    assert [predict(*arguments, what).exit_code for what in ("defect", "error", "retake")] == [0, 0, 3]
    assert "Verdicts: 3 retake" in predict(*arguments, "defect").output
    assert {row["verdict"] for row in rows_of(tmp_path / "r.csv")} == {"retake"}
    assert clearcast.load(folder).retake_distance == 50.0


def test_fail_on_retake_requires_a_bundle_that_returns_it(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 1)
    error = predict(bundle, tmp_path / "parts", "--out", tmp_path / "r.csv", "--fail-on", "retake").exception
    assert "never returns retake; enable it with 'clearcast tune', or leave out --fail-on retake" in str(error)
    assert clearcast.load(bundle).retake_distance is None


def test_exit_codes_for_scripts(bundle: Path, tmp_path: Path) -> None:
    dark, bright, bad = (tmp_path / name for name in ("dark", "bright", "bad"))
    imaging.save_image(dark / "a.png", uniform_image(10))
    imaging.save_image(bright / "a.png", uniform_image(240))
    bad.mkdir()
    (bad / "a.png").write_bytes(b"")
    codes = {
        (folder.name, what): predict(bundle, folder, "--out", tmp_path / f"{folder.name}-{what}.csv", "--fail-on", what)
        for folder, what in itertools.product((dark, bright, bad), ("defect", "error"))
    }
    failed = {arguments for arguments, done in codes.items() if done.exit_code == 3}
    assert failed == {("bright", "defect"), ("bad", "error")}
    assert {done.exit_code for done in codes.values()} == {0, 3}


def test_rows_before_an_interruption_count(bundle: Path, tmp_path: Path) -> None:
    imaging.save_image(tmp_path / "parts/a.png", uniform_image(240))
    arguments = (bundle, tmp_path / "parts", "--out", tmp_path / "r.csv", "--fail-on", "defect", "--resume")
    assert [predict(*arguments).exit_code for _ in range(2)] == [3, 3]
    assert len(rows_of(tmp_path / "r.csv")) == 1


def test_a_changed_image_is_inspected_again_and_its_last_row_counts(bundle: Path, tmp_path: Path) -> None:
    image, out = tmp_path / "parts/a.png", tmp_path / "r.csv"
    imaging.save_image(image, uniform_image(240, 32, 32))
    imaging.save_image(tmp_path / "parts/b.png", uniform_image(10, 32, 32))
    arguments = (bundle, tmp_path / "parts", "--out", out, "--fail-on", "defect", "--resume")
    assert predict(*arguments).exit_code == 3
    imaging.save_image(image, uniform_image(10, 32, 32))
    os.utime(image, ns=(5, 5))

    done = predict(*arguments)

    assert done.exit_code == 0, done.output
    assert "1 changed image inspected again" in done.output
    assert "Verdicts: 2 ok" in done.output
    assert [(Path(row["path"]).name, row["verdict"]) for row in rows_of(out)] == [
        ("a.png", "defect"),
        ("b.png", "ok"),
        ("a.png", "ok"),
    ]
    assert rows_of(out)[2]["modified"] == "1970-01-01T00:00:00.000000005Z"
    assert "0 images inspected" in predict(*arguments).output


def test_a_copy_with_new_times_is_not_inspected_again(bundle: Path, tmp_path: Path) -> None:
    out, image = tmp_path / "r.csv", tmp_path / "parts/a.bmp"
    imaging.save_image(image, uniform_image(10, 32, 32))
    imaging.save_image(tmp_path / "parts/b.bmp", uniform_image(11, 32, 32))
    arguments = (bundle, tmp_path / "parts", "--out", out, "--resume")
    predict(*arguments)
    before = out.read_bytes()
    for path in (tmp_path / "parts").iterdir():
        os.utime(path, ns=(5, 5))

    assert "0 images inspected" in predict(*arguments).output
    assert out.read_bytes() == before

    imaging.save_image(image, uniform_image(12, 32, 32))  # of the same size
    assert "1 image inspected" in predict(*arguments).output
    assert [Path(row["path"]).name for row in rows_of(out)] == ["a.bmp", "b.bmp", "a.bmp"]


def test_predict_reports_files_that_it_leaves_out(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 2)
    (tmp_path / "parts/c.heic").write_bytes(b"x")
    (tmp_path / "parts/Thumbs.db").write_bytes(b"x")
    done = predict(bundle, tmp_path / "parts", "--out", tmp_path / "r.csv")
    assert "1 file of another kind was left out: .heic 1" in done.output


def test_one_process_at_a_time_writes_results(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 1)
    sink, _ = open_results_writer(tmp_path / "r.csv", model="another", resume=True)
    error = predict(bundle, tmp_path / "parts", "--out", tmp_path / "r.csv", "--resume").exception
    assert f"another process ({os.getpid()}) is writing it" in str(error)
    sink.stop()


def test_shards_cover_the_source(bundle: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path / "parts", 12)
    found = []
    for number in (1, 2, 3):
        out = tmp_path / f"{number}.csv"
        assert predict(bundle, tmp_path / "parts", "--out", out, "--shard", f"{number}/3").exit_code == 0
        found += [Path(row["path"]).name for row in rows_of(out)]
    assert sorted(found) == list(images)


def test_no_row_is_lost_or_duplicated_by_kill_9(bundle: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path / "parts", 200)
    out, partial = tmp_path / "r.csv", tmp_path / "r.csv.partial"
    arguments = ["predict", bundle, "-", "--out", out, "--denoised", tmp_path / "d", "--threads", 2]
    command = [sys.executable, "-c", MAIN, *map(str, arguments), "--resume"]
    paths = "".join(f"{tmp_path / 'parts' / name}\n" for name in images).encode()
    for rows in (1, 60, 130):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stdin is not None
            process.stdin.write(paths)
            process.stdin.flush()  # it stays open, so that the process cannot end by itself
            while not (partial.exists() and partial.read_bytes().count(b"\n") > rows):
                assert process.poll() is None
                time.sleep(0.001)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        with partial.open("ab") as file:
            file.write(b'parts/half,"a li')  # as after a kill within a write
    subprocess.run(command, input=paths, check=True, stdout=subprocess.DEVNULL)
    assert [Path(row["path"]).name for row in rows_of(out)] == list(images)
    denoised = [path.name for path in find_image_files(tmp_path / "d")]
    assert [name for name in denoised if not name.startswith(".")] == list(
        images
    )  # a kill may leave a hidden temporary file
    assert not partial.exists()


def test_ctrl_c_explains_how_to_resume(bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "predict", str(bundle), "-", "--out", str(tmp_path / "r.csv")]
    write_images(tmp_path / "parts", 1)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        print(tmp_path / "parts" / "0000.png", file=process.stdin, flush=True)
        partial = tmp_path / "r.csv.partial"
        while not (partial.exists() and partial.read_bytes().count(b"\n") == 2):  # although stdin is still open
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
    assert process.returncode == 130, error
    assert (out + error).count("--resume") == 1
    assert "Traceback" not in error


def test_predict_needs_no_heavy_packages(bundle: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "parts", 1)
    code = "import sys, atexit; atexit.register(lambda: print(*{name.split('.')[0] for name in sys.modules})); "
    arguments = ["predict", bundle, tmp_path / "parts", "--out", tmp_path / "r.csv"]
    extra = ["--denoised", tmp_path / "d", "--heatmaps", tmp_path / "h"]
    command = [sys.executable, "-c", code + MAIN, *map(str, arguments + extra)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert {"clearcast", "onnxruntime"} <= loaded
    assert not loaded & HEAVY


def test_from_python(bundle: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path / "parts", 5)
    loaded = clearcast.load(str(bundle), threads=2)
    assert loaded.name.startswith("bundle ")
    assert loaded.name in repr(loaded)
    assert (loaded.threshold, loaded.threads) == (0.5, 2)
    assert clearcast.load(bundle).threads == available_cores()
    result = list(loaded.predict(tmp_path / "parts", restored=True, evidence=True))
    assert [Path(each.path).name for each in result] == list(images)
    assert all(each.evidence is not None for each in result)
    for each, image in zip(result, images.values(), strict=True):
        assert each.restored is not None
        np.testing.assert_array_equal(each.restored, expected_denoised(image))
    (one,) = loaded.predict(uniform_image(240, 40, 40))
    assert one.verdict is Verdict.DEFECT
    assert one.restored is None
    with pytest.raises(SourceError, match="no such file"):
        loaded.predict(tmp_path / "none")


def test_importing_clearcast_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import clearcast; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.split(".")[0] in HEAVY | {"numpy", "cv2", "onnxruntime"}}
    assert not loaded
