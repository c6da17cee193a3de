"""Exported graphs equal the networks, or the export fails."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clearcast.bundle.graphs import DetailGraph, JudgeGraph, SurveyGraph
from clearcast.bundle.networks import Networks, judge, load_networks, predict_networks
from clearcast.bundle.packaging import export
from clearcast.bundle.pipeline import finish
from clearcast.bundle.proving import random_pictures
from clearcast.domain import NoiseType
from clearcast.errors import OutputError
from clearcast.imaging import Channels, Picture
from clearcast.models.clear.restoring import restore
from clearcast.runtime.answers import Prediction
from clearcast.runtime.manifest import MANIFEST
from clearcast.runtime.model import Model
from clearcast.runtime.package import open_package, read_manifest
from clearcast.runtime.reference import Reference
from small_bundle import random_networks


@pytest.fixture(scope="module")
def networks(bundle: Path) -> Networks:
    return load_networks(bundle)[0]


@pytest.fixture(scope="module")
def model(bundle: Path) -> Model:
    return Model(open_package(bundle))


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (64, 64), (95, 130), (200, 72)])
def test_graphs_equal_the_networks_at_any_size(networks: Networks, model: Model, shape: tuple[int, int]) -> None:
    pictures = np.random.default_rng(2).integers(0, 256, (2, *shape, 1), dtype=np.uint8)
    outputs = model.run(pictures)
    for place, picture in enumerate(pictures[..., 0]):
        restored, seen = restore(networks.restorer, picture)
        assert networks.verdicts is not None
        log_odds, evidence = judge(networks.verdicts, restored)
        assert outputs["p_defect"][place] == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-4)
        np.testing.assert_allclose(outputs["p_noise"][place], seen.scores[0].softmax(dim=0), atol=1e-5)
        np.testing.assert_allclose(outputs["levels"][place], seen.levels[0].clamp(0, 1), atol=1e-5)
        np.testing.assert_allclose(outputs["waves"][place], seen.waves[0, 0], atol=1e-4)
        np.testing.assert_array_less(np.abs(outputs["restored"][place, ..., 0].astype(int) - restored), 2)
        temperature = networks.verdicts.facts["temperature"]
        np.testing.assert_allclose(outputs["evidence"][place], evidence / temperature, atol=1e-3)


def test_graphs_equal_the_networks_in_colour() -> None:
    networks = random_networks(Channels.RGB)
    assert networks.verdicts is not None
    picture = random_pictures(3)[2]
    pixels = torch.from_numpy(picture)[None]
    waves, small, _, _, about = SurveyGraph(networks.restorer)(pixels)
    place = torch.tensor([*picture.shape[:2], 0, 0])
    with torch.inference_mode():
        restored = DetailGraph(networks.restorer)(pixels, waves, small, about, place)
        p_defect, _ = JudgeGraph(networks.verdicts)(restored)
    expected = predict_networks(networks, picture)
    np.testing.assert_array_less(np.abs(restored[0].numpy().astype(int) - expected.denoised), 2)
    assert float(p_defect[0]) == pytest.approx(expected.p_defect, abs=1e-3)


def near(prediction: Prediction) -> Prediction:
    assert prediction.p_defect is not None
    return replace(prediction, p_defect=prediction.p_defect + 1e-4, defect=not prediction.defect)


def moved(prediction: Prediction) -> Prediction:
    probabilities = prediction.noise.probabilities
    changed = probabilities | {NoiseType.GAUSSIAN: probabilities[NoiseType.GAUSSIAN] + 0.0011}
    return replace(prediction, noise=replace(prediction.noise, probabilities=changed))


def spotted(prediction: Prediction) -> Prediction:
    assert prediction.denoised is not None
    denoised = prediction.denoised.copy()
    denoised[:4, :4] ^= 8
    return replace(prediction, denoised=denoised)


@pytest.mark.parametrize(
    ("change", "words"),
    [(near, "verdicts flip"), (moved, "probabilities by 0.0011"), (spotted, "more than one grey level")],
)
def test_a_failed_parity_check_leaves_no_files(
    bundle: Path, networks: Networks, tmp_path: Path, change: Callable[[Prediction], Prediction], words: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    manifest = read_manifest(folder)
    (folder / MANIFEST).unlink()

    looks: Reference = {"pictures": "test", "numbers": {}, "noise_types": {}, "verdicts": {}}

    def ask(picture: Picture) -> Prediction:
        return change(predict_networks(networks, picture))

    with pytest.raises(OutputError, match=words):
        finish(folder, manifest, manifest["graphs"], ask, random_pictures(1)[:1], looks)
    assert {path.name for path in folder.rglob("*")} == {"restorer.safetensors", "judge.safetensors"}


def test_a_folder_becomes_a_zip_and_the_same_folder_again(bundle: Path, tmp_path: Path) -> None:
    export(bundle, tmp_path / "b.zip")
    export(tmp_path / "b.zip", tmp_path / "b")
    files = {path.relative_to(bundle): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert files == {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "b.zip"]


def test_nothing_is_overwritten_and_other_sources_are_rejected(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there.zip").write_text("mine")
    for name in ("there", "there.zip"):
        with pytest.raises(OutputError, match="already exists"):
            export(bundle, tmp_path / name)
    assert (tmp_path / "there.zip").read_text() == "mine"
    with pytest.raises(OutputError, match="not a bundle"):
        export(tmp_path / "there", tmp_path / "new")
    (tmp_path / "there" / "run.json").write_text(
        json.dumps({"format": 1, "started": "", "question": {"recipe": "clear"}})
    )
    with pytest.raises(OutputError, match="got an unfinished bundle"):
        export(tmp_path / "there", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there", "there.zip"]
