"""Export: the ONNX graphs compute the outputs of the networks, or no bundle is written."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clearcast.bundle.archive import open_package
from clearcast.bundle.manifest import MANIFEST_FILE
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError
from clearcast.inference.drift_statistics import DriftReference
from clearcast.inference.model import OnnxModel
from clearcast.inference.prediction import Prediction
from clearcast.nn.denoiser import denoise_tiled
from clearcast.noise.registry import NoiseType
from clearcast.pipelines.bundle_writer import finalise_bundle
from clearcast.pipelines.export import export_bundle
from clearcast.pipelines.networks import BundleNetworks, classify_image, load_networks, predict_image
from clearcast.pipelines.onnx_graphs import ClassifierGraph, DetailGraph, GlobalEncoderGraph
from clearcast.pipelines.parity import random_images
from tests.bundle.manifests import read_manifest
from tests.small_bundle import random_networks


@pytest.fixture(scope="module")
def networks(bundle: Path) -> BundleNetworks:
    return load_networks(bundle)[0]


@pytest.fixture(scope="module")
def model(bundle: Path) -> OnnxModel:
    return OnnxModel(open_package(bundle))


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (64, 64), (95, 130), (200, 72)])
def test_graphs_equal_the_networks_at_any_size(
    networks: BundleNetworks, model: OnnxModel, shape: tuple[int, int]
) -> None:
    images = np.random.default_rng(2).integers(0, 256, (2, *shape, 1), dtype=np.uint8)
    outputs = model.run(images)
    for index, image in enumerate(images[..., 0]):
        denoised, context = denoise_tiled(networks.denoiser, image)
        assert networks.classifier is not None
        log_odds, evidence = classify_image(networks.classifier, denoised)
        assert outputs["p_defect"][index] == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-4)
        np.testing.assert_allclose(outputs["p_noise"][index], context.scores[0].softmax(dim=0), atol=1e-5)
        np.testing.assert_allclose(outputs["levels"][index], context.levels[0].clamp(0, 1), atol=1e-5)
        np.testing.assert_allclose(outputs["waves"][index], context.waves[0, 0], atol=1e-4)
        np.testing.assert_array_less(np.abs(outputs["restored"][index, ..., 0].astype(int) - denoised), 2)
        temperature = networks.classifier.metadata["temperature"]
        np.testing.assert_allclose(outputs["evidence"][index], evidence / temperature, atol=1e-3)


def test_graphs_equal_the_networks_in_colour() -> None:
    networks = random_networks(Channels.RGB)
    assert networks.classifier is not None
    image = random_images(3)[2]
    pixels = torch.from_numpy(image)[None]
    waves, small, _, _, conditioning = GlobalEncoderGraph(networks.denoiser)(pixels)
    place = torch.tensor([*image.shape[:2], 0, 0])
    with torch.inference_mode():
        denoised = DetailGraph(networks.denoiser)(pixels, waves, small, conditioning, place)
        p_defect, _ = ClassifierGraph(networks.classifier)(denoised)
    expected = predict_image(networks, image)
    np.testing.assert_array_less(np.abs(denoised[0].numpy().astype(int) - expected.denoised), 2)
    assert float(p_defect[0]) == pytest.approx(expected.p_defect, abs=1e-3)


def near(prediction: Prediction) -> Prediction:
    assert prediction.p_defect is not None
    return replace(prediction, p_defect=prediction.p_defect + 1e-4, defect=not prediction.defect)


def other_noise(prediction: Prediction) -> Prediction:
    probabilities = prediction.noise.probabilities
    changed = probabilities | {NoiseType.GAUSSIAN: probabilities[NoiseType.GAUSSIAN] + 0.0011}
    return replace(prediction, noise=replace(prediction.noise, probabilities=changed))


def other_pixels(prediction: Prediction) -> Prediction:
    assert prediction.denoised is not None
    denoised = prediction.denoised.copy()
    denoised[:4, :4] ^= 8
    return replace(prediction, denoised=denoised)


@pytest.mark.parametrize(
    ("change", "words"),
    [(near, "verdicts flip"), (other_noise, "probabilities by 0.0011"), (other_pixels, "more than one grey level")],
)
def test_a_failed_parity_check_leaves_no_files(
    bundle: Path, networks: BundleNetworks, tmp_path: Path, change: Callable[[Prediction], Prediction], words: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    manifest = read_manifest(folder)
    (folder / MANIFEST_FILE).unlink()

    reference: DriftReference = {"pictures": "test", "numbers": {}, "noise_types": {}, "verdicts": {}}

    def predict(image: ImageArray) -> Prediction:
        return change(predict_image(networks, image))

    with pytest.raises(OutputError, match=words):
        finalise_bundle(folder, manifest, manifest["graphs"], predict, random_images(1)[:1], reference)
    assert {path.name for path in folder.rglob("*")} == {"restorer.safetensors", "judge.safetensors"}


def test_a_folder_becomes_a_zip_and_the_same_folder_again(bundle: Path, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "b.zip")
    export_bundle(tmp_path / "b.zip", tmp_path / "b")
    files = {path.relative_to(bundle): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert files == {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "b.zip"]


def test_nothing_is_overwritten_and_other_sources_are_rejected(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there.zip").write_text("mine")
    for name in ("there", "there.zip"):
        with pytest.raises(OutputError, match="already exists"):
            export_bundle(bundle, tmp_path / name)
    assert (tmp_path / "there.zip").read_text() == "mine"
    with pytest.raises(OutputError, match="not a bundle"):
        export_bundle(tmp_path / "there", tmp_path / "new")
    (tmp_path / "there" / "run.json").write_text(
        json.dumps({"format": 1, "started": "", "question": {"recipe": "clear"}})
    )
    with pytest.raises(OutputError, match="got an unfinished bundle"):
        export_bundle(tmp_path / "there", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there", "there.zip"]
