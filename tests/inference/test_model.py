import math
from pathlib import Path

import numpy as np
import pytest

from clearcast.bundle.archive import open_package
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.inference.model import OnnxModel
from clearcast.noise.registry import NoiseType
from tests.inference.handmade import CELL, WAVES, expected_denoised, expected_p_defect, write_bundle


def noisy(height: int, width: int, depth: int = 1, count: int = 1) -> ImageArray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, depth)).astype(np.uint8)


def denoised_of(image: ImageArray) -> ImageArray:
    """The denoised image, without the depth of a grey one."""
    denoised = expected_denoised(image)
    return denoised[..., 0] if denoised.shape[-1] == 1 else denoised


def test_predictions_are_the_outputs_of_the_graphs(tmp_path: Path) -> None:
    model = OnnxModel(open_package(write_bundle(tmp_path / "bundle", channels=Channels.RGB)))
    images = noisy(48, 80, 3, count=2)
    predictions, outputs = model.predict_batch(images), model.run(images)
    assert model.channels is Channels.RGB
    np.testing.assert_array_equal(outputs["waves"][1], WAVES)
    for place, (image, prediction) in enumerate(zip(images, predictions, strict=True)):
        assert prediction.denoised is not None
        np.testing.assert_array_equal(prediction.denoised, expected_denoised(image))
        p_defect = expected_p_defect(image)
        assert prediction.p_defect == pytest.approx(p_defect, abs=1e-6)
        assert prediction.log_odds == pytest.approx(math.log(p_defect / (1 - p_defect)), abs=1e-4)
        assert prediction.defect is (p_defect > 0.5)
        assert prediction.noise.sigma == pytest.approx(image.mean() / 255, abs=1e-6)
        assert prediction.noise.density == pytest.approx(1 - image.mean() / 255, abs=1e-6)
        assert list(prediction.noise.probabilities) == list(NoiseType)
        assert list(prediction.noise.probabilities.values()) == outputs["p_noise"][place].tolist()
        assert sum(prediction.noise.probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert prediction.evidence is not None
        assert prediction.evidence.shape == (48 // CELL, 80 // CELL)
        assert prediction.evidence.dtype == np.float32


@pytest.mark.parametrize(("height", "width", "depth"), [(300, 333, 1), (256, 128, 1), (129, 500, 3)])
def test_tiles_leave_no_seam(tmp_path: Path, height: int, width: int, depth: int) -> None:
    package = open_package(write_bundle(tmp_path / "bundle", channels=Channels.GREY if depth == 1 else Channels.RGB))
    images = noisy(height, width, depth)
    whole, tiled = OnnxModel(package).run(images), OnnxModel(package, tile=128, whole=0).run(images)
    np.testing.assert_array_equal(tiled["restored"][0], expected_denoised(images[0]))
    for name in ("p_defect", "p_noise", "levels", "waves", "evidence"):
        np.testing.assert_allclose(tiled[name], whole[name], atol=1e-6)


def test_only_images_beyond_a_size_go_in_tiles(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    package = open_package(folder)
    model = OnnxModel(package, whole=64 * 64)
    (folder / "survey.onnx").unlink()  # read only when needed
    assert model.predict(noisy(64, 64)[0, ..., 0]).p_defect is not None
    with pytest.raises(Exception, match=r"survey\.onnx is missing"):
        model.predict(noisy(64, 65)[0, ..., 0])


def test_a_bundle_of_one_graph_takes_any_size(tmp_path: Path) -> None:
    model = OnnxModel(open_package(write_bundle(tmp_path / "bundle", recipe="report")), whole=0)
    images = noisy(70, 50)
    (prediction,) = model.predict_batch(images)
    assert not prediction.has_noise_levels
    assert prediction.evidence is None
    assert prediction.noise.wave is None
    assert prediction.denoised is not None
    np.testing.assert_array_equal(prediction.denoised, denoised_of(images[0]))


@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_denoising_on_request_changes_nothing_else(tmp_path: Path, whole: int) -> None:
    always = OnnxModel(open_package(write_bundle(tmp_path / "clear")))
    model = OnnxModel(open_package(write_bundle(tmp_path / "glance", recipe="glance")), tile=128, whole=whole)
    assert (always.always_denoises, model.always_denoises) == (True, False)
    images = noisy(200, 150)
    for denoise in (False, True):
        outputs, expected = model.run(images, denoise=denoise), always.run(images)
        for name in ("p_defect", "p_noise", "levels", "evidence"):
            np.testing.assert_array_equal(outputs[name], expected[name])
        (prediction,) = model.predict_batch(images, denoise=denoise)
        if not denoise:
            assert prediction.denoised is None
            continue
        assert prediction.denoised is not None
        np.testing.assert_array_equal(prediction.denoised, denoised_of(images[0]))


def test_without_a_classifier_there_is_no_probability(tmp_path: Path) -> None:
    package = open_package(write_bundle(tmp_path / "bundle", has_classifier=False))
    for model in (OnnxModel(package), OnnxModel(package, tile=128, whole=0)):
        (prediction,) = model.predict_batch(noisy(200, 64))
        assert prediction.p_defect is prediction.log_odds is None
        assert prediction.defect is None
        assert prediction.evidence is None
        assert prediction.denoised is not None
        np.testing.assert_array_equal(prediction.denoised, denoised_of(noisy(200, 64)[0]))


def test_a_changed_graph_is_rejected(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    (folder / "inspect.onnx").write_bytes((folder / "inspect.onnx").read_bytes()[:-1])
    with pytest.raises(Exception, match=r"inspect\.onnx is not the file that was written"):
        OnnxModel(open_package(folder))
