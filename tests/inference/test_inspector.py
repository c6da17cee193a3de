import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import write_manifest
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError
from clearcast.inference.image_outputs import draw_heat_map, scale_evidence
from clearcast.inference.inspector import Inspector
from clearcast.inference.model import OnnxModel
from clearcast.inference.sources import SourceItem
from clearcast.noise.registry import NoiseType
from clearcast.types import Inspection, Verdict
from tests.inference.handmade import THRESHOLD, expected_denoised, expected_p_defect, uniform_image, write_bundle


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    return Inspector(open_package(write_bundle(tmp_path_factory.mktemp("made") / "bundle")))


def image_of(grey: int, shape: tuple[int, ...] = (48, 128)) -> ImageArray:
    return uniform_image(grey, *shape)


def item(data: bytes | ImageArray, name: str = "a.png") -> SourceItem:
    return SourceItem(name=name, key=name, read=lambda: data)


def test_a_bright_image(inspector: Inspector) -> None:
    data = imaging.encode_image(image_of(230), ".png")
    inspection = inspector.inspect(item(data, "parts/a.png"))
    assert inspection.path == "parts/a.png"
    assert inspection.sha256 == hashlib.sha256(data).hexdigest()
    assert inspection.p_defect == pytest.approx(expected_p_defect(image_of(230)), abs=1e-5)
    assert inspection.verdict is Verdict.DEFECT
    assert inspection.threshold == THRESHOLD
    assert inspection.noise_type is NoiseType.GAUSSIAN
    assert inspection.p_noise == pytest.approx((230 / 255) ** 2, abs=1e-4)
    assert inspection.noise_level == "standard deviation 230 grey levels"  # the graph returns the image's mean
    assert inspection.ms is not None
    assert inspection.ms > 0
    assert inspection.model == inspector.name
    assert inspection.model.startswith("bundle ")
    assert inspection.error == ""
    assert inspection.looks is not None
    assert inspection.looks.brightness == pytest.approx(230, abs=0.01)
    assert inspection.looks.sharpness is not None
    assert inspection.looks.sharpness < 1  # the graph draws faint squares
    assert inspection.looks.sigma == pytest.approx(230 / 255, abs=1e-4)
    assert (inspection.restored, inspection.evidence) == (None, None)


def test_the_period_of_waves_is_in_pixels_of_the_image(inspector: Inspector) -> None:
    inspection = inspector.inspect(item(image_of(20)))
    assert inspection.verdict is Verdict.OK
    assert inspection.sha256 is None
    assert inspection.noise_type is NoiseType.PERIODIC
    assert (
        inspection.noise_level == "amplitude 51 grey levels, period 16 pixels, orientation 0 degrees"
    )  # 128 pixels wide


def test_images_are_included_only_on_request(inspector: Inspector) -> None:
    inspection = inspector.inspect(item(image_of(99, (40, 70))), denoise=True, evidence=True)
    assert inspection.restored is not None
    assert inspection.evidence is not None
    np.testing.assert_array_equal(inspection.restored, expected_denoised(image_of(99, (40, 70))))
    assert inspection.evidence.shape == (2, 4)


@pytest.mark.parametrize("channels", list(Channels))
def test_images_are_converted_to_the_bundles_channels(tmp_path: Path, channels: Channels) -> None:
    inspector = Inspector(open_package(write_bundle(tmp_path / "bundle", channels=channels)))
    colours = np.random.default_rng(0).integers(0, 256, (32, 40, 3)).astype(np.uint8)
    grey = np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)
    converted = {Channels.RGB: (colours, np.repeat(grey[..., None], 3, axis=2)), Channels.GREY: (grey, grey)}[channels]
    for given, expected in zip((colours, grey), converted, strict=True):
        for data in (given, imaging.encode_image(given, ".png")):
            inspection = inspector.inspect(item(data), denoise=True)
            assert inspection.p_defect == pytest.approx(
                expected_p_defect(expected), abs=2e-3
            )  # PNG's own grey rounds otherwise
            assert inspection.restored is not None
            assert inspection.restored.shape == expected.shape


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no picture", "unknown image format"),
        (imaging.encode_image(image_of(9), ".png")[:-30], "truncated"),
        (image_of(9, (15, 400)), "expected at least 16 x 16 pixels, got 400 x 15"),
    ],
)
def test_a_bad_image_is_a_row_with_an_error(inspector: Inspector, data: bytes | ImageArray, reason: str) -> None:
    inspection = inspector.inspect(item(data, "bad.png"))
    assert inspection.path == "bad.png"
    assert reason in inspection.error
    assert (inspection.sha256 is None) == isinstance(data, np.ndarray)
    assert {
        inspection.verdict,
        inspection.p_defect,
        inspection.noise_type,
        inspection.p_noise,
        inspection.ms,
        inspection.looks,
    } == {None}
    assert inspection.noise_level == ""


def test_a_failed_inference_is_a_row_with_an_error(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    def short_of_memory(*_: object, **__: object) -> None:
        raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("Failed to allocate memory\nand more")

    monkeypatch.setattr(OnnxModel, "predict", short_of_memory)
    inspection = inspector.inspect(item(image_of(100)))
    assert inspection.error == "a.png: 128 x 48 pixels could not be inspected here (Failed to allocate memory)"
    assert inspection.verdict is None


def test_an_image_near_the_threshold_is_retake(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    manifest = open_package(folder).manifest
    assert manifest["judge"]
    manifest["judge"]["retake_distance"] = 0.5  # about 0.5: probabilities from 0.378 to 0.622
    write_manifest(folder, manifest)
    inspector = Inspector(open_package(folder))
    greys = range(10, 250, 10)
    probabilities = [expected_p_defect(image_of(grey)) for grey in greys]
    expected = ["ok" if each < 0.377 else "defect" if each > 0.623 else "retake" for each in probabilities]
    assert [inspector.inspect(item(image_of(grey))).verdict for grey in greys] == expected
    assert len(set(expected)) == 3
    assert inspector.verdicts == set(Verdict)


def test_the_verdicts_of_a_bundle_follow_from_its_manifest(inspector: Inspector, tmp_path: Path) -> None:
    assert inspector.verdicts == {Verdict.OK, Verdict.DEFECT}
    assert not Inspector(open_package(write_bundle(tmp_path / "unclassified", has_classifier=False))).verdicts


def outputs_of(inspection: Inspection) -> tuple[object, ...]:
    return inspection.verdict, inspection.p_defect, inspection.noise_level


def test_a_bundle_without_classifier_or_noise_levels_gives_the_rest(tmp_path: Path) -> None:
    unclassified = Inspector(open_package(write_bundle(tmp_path / "unclassified", has_classifier=False)))
    assert not unclassified.gives_verdicts
    assert not unclassified.has_evidence
    inspection = unclassified.inspect(item(image_of(230)))
    assert outputs_of(inspection) == (None, None, "standard deviation 230 grey levels")
    report = Inspector(open_package(write_bundle(tmp_path / "report", recipe="report")))
    assert report.gives_verdicts
    assert not report.has_evidence
    inspection = report.inspect(item(image_of(230)), evidence=True)
    assert inspection.verdict is Verdict.DEFECT
    assert inspection.noise_type is NoiseType.GAUSSIAN
    assert inspection.noise_level == ""
    assert inspection.evidence is None


@pytest.mark.parametrize("name", ["inspect.onnx", "survey.onnx", "detail.onnx", "judge.onnx"])
def test_a_damaged_graph_is_rejected_before_the_first_image(tmp_path: Path, name: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / name).write_bytes((bundle / name).read_bytes()[:-1])
    with pytest.raises(OutputError, match=f"{name} is not the file that was written"):
        Inspector(open_package(bundle))


def test_the_heat_map_is_drawn_at_the_evidence() -> None:
    evidence = np.zeros((4, 6), np.float32)
    evidence[1:3, 4:6] = 20
    heat = scale_evidence(evidence, 64, 96)
    assert heat.shape == (64, 96)
    assert (heat.max(), heat.min()) == (1, 0)
    drawn = draw_heat_map(np.full((64, 96), 100, np.uint8), evidence)
    assert drawn.shape == (64, 96, 3)
    np.testing.assert_array_equal(drawn[:, :48], 100)  # far from the evidence, the image itself
    red, green, blue = drawn[32, 80].astype(int)  # the middle of the heat: 0.6 of yellow
    assert (red, green, blue) == (193, 193, 40)


def test_the_heat_map_of_a_large_image_has_no_seams() -> None:
    evidence = np.zeros((3, 3), np.float32)
    evidence[1, 1] = 8
    image = np.random.default_rng(1).integers(0, 256, (700, 48), dtype=np.uint8)
    drawn = draw_heat_map(image, evidence)
    heat = scale_evidence(evidence, 700, 48)[..., None]
    green = np.floor(255 * heat)  # autumn: red is full, green rises with the heat, no blue
    colours = np.concatenate([np.full_like(heat, 255), green, np.zeros_like(heat)], axis=2)
    expected = (1 - 0.6 * heat) * image[..., None] + 0.6 * heat * colours
    np.testing.assert_allclose(drawn, expected, atol=0.51 + 0.6)  # the map's colours are whole numbers
