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
from tests.inference.handmade import THRESHOLD, flat, p_defect_of, restored_of, write_bundle


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    return Inspector(open_package(write_bundle(tmp_path_factory.mktemp("made") / "bundle")))


def even(grey: int, shape: tuple[int, ...] = (48, 128)) -> ImageArray:
    return flat(grey, *shape)


def item(data: bytes | ImageArray, name: str = "a.png") -> SourceItem:
    return SourceItem(name=name, key=name, read=lambda: data)


def test_a_bright_image(inspector: Inspector) -> None:
    data = imaging.encode_image(even(230), ".png")
    said = inspector.inspect(item(data, "parts/a.png"))
    assert said.path == "parts/a.png"
    assert said.sha256 == hashlib.sha256(data).hexdigest()
    assert said.p_defect == pytest.approx(p_defect_of(even(230)), abs=1e-5)
    assert said.verdict is Verdict.DEFECT
    assert said.threshold == THRESHOLD
    assert said.noise_type is NoiseType.GAUSSIAN
    assert said.p_noise == pytest.approx((230 / 255) ** 2, abs=1e-4)
    assert said.noise_level == "standard deviation 230 grey levels"  # the graph says the picture's mean
    assert said.ms is not None
    assert said.ms > 0
    assert said.model == inspector.name
    assert said.model.startswith("bundle ")
    assert said.error == ""
    assert said.looks is not None
    assert said.looks.brightness == pytest.approx(230, abs=0.01)
    assert said.looks.sharpness is not None
    assert said.looks.sharpness < 1  # the graph draws faint squares
    assert said.looks.sigma == pytest.approx(230 / 255, abs=1e-4)
    assert (said.restored, said.evidence) == (None, None)


def test_the_period_of_waves_is_in_pixels_of_the_image(inspector: Inspector) -> None:
    said = inspector.inspect(item(even(20)))
    assert said.verdict is Verdict.OK
    assert said.sha256 is None
    assert said.noise_type is NoiseType.PERIODIC
    assert said.noise_level == "amplitude 51 grey levels, period 16 pixels, orientation 0 degrees"  # 128 pixels wide


def test_images_are_included_only_on_request(inspector: Inspector) -> None:
    said = inspector.inspect(item(even(99, (40, 70))), restored=True, evidence=True)
    assert said.restored is not None
    assert said.evidence is not None
    np.testing.assert_array_equal(said.restored, restored_of(even(99, (40, 70))))
    assert said.evidence.shape == (2, 4)


@pytest.mark.parametrize("channels", list(Channels))
def test_images_are_converted_to_the_bundles_channels(tmp_path: Path, channels: Channels) -> None:
    inspector = Inspector(open_package(write_bundle(tmp_path / "bundle", channels=channels)))
    colours = np.random.default_rng(0).integers(0, 256, (32, 40, 3)).astype(np.uint8)
    grey = np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)
    seen = {Channels.RGB: (colours, np.repeat(grey[..., None], 3, axis=2)), Channels.GREY: (grey, grey)}[channels]
    for given, expected in zip((colours, grey), seen, strict=True):
        for data in (given, imaging.encode_image(given, ".png")):
            said = inspector.inspect(item(data), restored=True)
            assert said.p_defect == pytest.approx(p_defect_of(expected), abs=2e-3)  # PNG's own grey rounds otherwise
            assert said.restored is not None
            assert said.restored.shape == expected.shape


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no picture", "unknown image format"),
        (imaging.encode_image(even(9), ".png")[:-30], "truncated"),
        (even(9, (15, 400)), "expected at least 16 x 16 pixels, got 400 x 15"),
    ],
)
def test_a_bad_image_is_a_row_with_an_error(inspector: Inspector, data: bytes | ImageArray, reason: str) -> None:
    said = inspector.inspect(item(data, "bad.png"))
    assert said.path == "bad.png"
    assert reason in said.error
    assert (said.sha256 is None) == isinstance(data, np.ndarray)
    assert {said.verdict, said.p_defect, said.noise_type, said.p_noise, said.ms, said.looks} == {None}
    assert said.noise_level == ""


def test_a_failed_inference_is_a_row_with_an_error(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    def short_of_memory(*_: object, **__: object) -> None:
        raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("Failed to allocate memory\nand more")

    monkeypatch.setattr(OnnxModel, "predict", short_of_memory)
    said = inspector.inspect(item(even(100)))
    assert said.error == "a.png: 128 x 48 pixels could not be inspected here (Failed to allocate memory)"
    assert said.verdict is None


def test_an_image_near_the_threshold_is_retake(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    manifest = open_package(folder).manifest
    assert manifest["judge"]
    manifest["judge"]["retake_distance"] = 0.5  # about 0.5: probabilities from 0.378 to 0.622
    write_manifest(folder, manifest)
    inspector = Inspector(open_package(folder))
    greys = range(10, 250, 10)
    chances = [p_defect_of(even(grey)) for grey in greys]
    expected = ["ok" if each < 0.377 else "defect" if each > 0.623 else "retake" for each in chances]
    assert [inspector.inspect(item(even(grey))).verdict for grey in greys] == expected
    assert len(set(expected)) == 3
    assert inspector.verdicts == set(Verdict)


def test_the_verdicts_of_a_bundle_follow_from_its_manifest(inspector: Inspector, tmp_path: Path) -> None:
    assert inspector.verdicts == {Verdict.OK, Verdict.DEFECT}
    assert not Inspector(open_package(write_bundle(tmp_path / "silent", judges=False))).verdicts


def without_pixels(said: Inspection) -> tuple[object, ...]:
    return said.verdict, said.p_defect, said.noise_level


def test_a_bundle_without_classifier_or_noise_levels_gives_the_rest(tmp_path: Path) -> None:
    silent = Inspector(open_package(write_bundle(tmp_path / "silent", judges=False)))
    assert not silent.gives_verdicts
    assert not silent.has_evidence
    said = silent.inspect(item(even(230)))
    assert without_pixels(said) == (None, None, "standard deviation 230 grey levels")
    report = Inspector(open_package(write_bundle(tmp_path / "report", recipe="report")))
    assert report.gives_verdicts
    assert not report.has_evidence
    said = report.inspect(item(even(230)), evidence=True)
    assert said.verdict is Verdict.DEFECT
    assert said.noise_type is NoiseType.GAUSSIAN
    assert said.noise_level == ""
    assert said.evidence is None


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
    np.testing.assert_array_equal(drawn[:, :48], 100)  # far from it, the picture itself
    red, green, blue = drawn[32, 80].astype(int)  # the middle of the place: 0.6 of yellow
    assert (red, green, blue) == (193, 193, 40)


def test_the_heat_map_of_a_large_image_has_no_seams() -> None:
    evidence = np.zeros((3, 3), np.float32)
    evidence[1, 1] = 8
    picture = np.random.default_rng(1).integers(0, 256, (700, 48), dtype=np.uint8)
    drawn = draw_heat_map(picture, evidence)
    heat = scale_evidence(evidence, 700, 48)[..., None]
    green = np.floor(255 * heat)  # autumn: red is full, green rises with the heat, no blue
    colours = np.concatenate([np.full_like(heat, 255), green, np.zeros_like(heat)], axis=2)
    expected = (1 - 0.6 * heat) * picture[..., None] + 0.6 * heat * colours
    np.testing.assert_allclose(drawn, expected, atol=0.51 + 0.6)  # the map's colours are whole numbers
