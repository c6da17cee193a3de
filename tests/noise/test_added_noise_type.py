"""A new noise type requires one file and one line: tested in a copy of the package, in a new interpreter."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import clearcast
from clearcast.bundle.manifest import parse_manifest
from clearcast.core.errors import OutputError

SPECIFICATION = '''
"""Speckle noise: each pixel is multiplied by a value of mean 1."""

from dataclasses import dataclass

import numpy as np

from clearcast.noise.specification import (
    NoiseLevelEstimate,
    NoiseParameters,
    NoiseRange,
    NoiseSpecification,
    RobustnessLevels,
)


@dataclass(frozen=True)
class SpeckleNoise(NoiseParameters):
    """Parameter of speckle noise."""

    spread: float


@dataclass(frozen=True)
class SpeckleRange(NoiseRange):
    """Lowest and highest spread."""

    spread: tuple[float, float] = (0.1, 0.3)


def add_speckle(image, parameters, rng):
    """Multiply each pixel."""
    factors = 1 + parameters.spread * rng.standard_normal(image.shape, np.float32)
    return np.clip(image * factors, 0, 1).astype(np.float32)


SPECKLE_NOISE = NoiseSpecification(
    display_name="Speckle",
    sheet_word="Speckle",
    words=("speckle", "multiplicative"),
    parameters=SpeckleNoise,
    default_range=SpeckleRange(),
    training_range=SpeckleRange(spread=(0.05, 0.4)),
    sample=lambda noise_range, rng, shape: SpeckleNoise(float(rng.uniform(*noise_range.spread))),
    apply=add_speckle,
    robustness=RobustnessLevels(
        name="spread", strengths=(0.1, 0.2), parameters=lambda strength, *_: SpeckleNoise(strength)
    ),
    estimate=NoiseLevelEstimate(
        name="spread", of=lambda parameters: parameters.spread, describe="spread {:.2f}".format
    ),
)
'''
IMPORT = "from clearcast.noise.specification import ("
LAST = '    PERIODIC = "periodic", PERIODIC_NOISE\n'
LINE = '    SPECKLE = "speckle", SPECKLE_NOISE\n'


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of the package with one more file, one more line and its import."""
    folder = tmp_path_factory.mktemp("added")
    shutil.copytree(Path(clearcast.__file__).parent, folder / "clearcast", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "clearcast/noise/speckle.py").write_text(SPECIFICATION, "utf-8")
    registry = folder / "clearcast/noise/registry.py"
    text = registry.read_text("utf-8")
    assert text.count(LAST) == text.count(IMPORT) == 1
    text = text.replace(LAST, LAST + LINE)
    registry.write_text(text.replace(IMPORT, f"from clearcast.noise.speckle import SPECKLE_NOISE\n{IMPORT}"), "utf-8")
    return folder


def result_of(package: Path, code: str, *arguments: object) -> Any:  # noqa: ANN401 -- any JSON value
    """Return the last line that a new interpreter prints, with the copy in place of the package."""
    environment = os.environ | {"PYTHONPATH": str(package)}
    command = [sys.executable, "-c", f"import json, sys\nimport numpy as np\n{code}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_levels_are_drawn_applied_and_described(package: Path) -> None:
    code = """
from clearcast import noise
from clearcast.noise.estimation import to_noise_estimate
kind = noise.NoiseType("speckle")
rng = np.random.default_rng(1)
grey = np.full((64, 64), 128, np.uint8)
level = noise.sample_noise(noise.DEFAULT_NOISE_RANGES[kind], rng, grey.shape)
noisy = noise.corrupt_image(grey, level, rng)
estimate = to_noise_estimate([0.1, 0.1, 0.1, 0.6, 0.1], [0, 0, level.spread], None, 64, 64)
print(json.dumps([list(noise.NoiseType), kind.display_name, level.spread, noisy.std() / 128, estimate.noise_type,
                  estimate.level]))
"""
    kinds, name, spread, measured, likeliest, described = result_of(package, code)

    assert kinds == ["gaussian", "salt_and_pepper", "periodic", "speckle", "none"]
    assert (name, likeliest, described) == ("Speckle", "speckle", f"spread {spread:.2f}")
    assert measured == pytest.approx(spread, rel=0.05)


def test_a_folder_is_corrupted_with_it_and_its_sheet_is_read(package: Path, tmp_path: Path) -> None:
    code = """
from pathlib import Path
from clearcast.core import imaging; from clearcast import noise
from clearcast.synth.corruption import degrade_folder
from clearcast.data.sheet import read_sheet
from clearcast.data.vocabulary import parse_noise_type
folder = Path(sys.argv[1])
for number in range(8):
    imaging.save_image(folder / "in" / f"{number}.png", np.full((32, 32), 20 * number + 40, np.uint8))
ranges = noise.load_noise_ranges(folder / "levels.toml")
done = degrade_folder(folder / "in", folder / "out", seed=1, ranges=ranges)
rows = read_sheet(folder / "out" / "Labels.xlsx").rows
print(json.dumps([done.written, [row.noise_type for row in rows], parse_noise_type("Multiplicative noise")]))
"""
    (tmp_path / "levels.toml").write_text("[gaussian]\n[speckle]\nspread = [0.2, 0.3]\n", "utf-8")
    written, listed, word = result_of(package, code, tmp_path)

    assert written == {"gaussian": 4, "speckle": 4}
    assert sorted(listed) == ["gaussian"] * 4 + ["speckle"] * 4
    assert word == "speckle"
    header = (tmp_path / "out" / "levels.csv").read_text("utf-8").splitlines()[0]
    assert header.endswith("phase_deg,spread,level_json")


def test_training_learns_it_and_older_bundles_keep_their_classes(package: Path) -> None:
    code = """
import torch
from clearcast.study.robustness import SWEEP_LEVELS
from clearcast.nn.denoiser import ClearDenoiser
from clearcast.noise import NoiseType
from clearcast.inference.prediction import decode_predictions
from clearcast.bundle.manifest import noise_types_of
from clearcast.synth.augmentation import degrade
flat = np.full((32, 32), 128, np.uint8)
samples = [degrade(flat, np.random.default_rng(seed)) for seed in range(99)]
drawn = {degraded.noise_type: degraded for degraded in samples}
old = noise_types_of({})
outputs = {}
for kinds in (tuple(NoiseType), old):
    _, estimate = ClearDenoiser(noise_types=kinds)(torch.rand(1, 1, 32, 32))
    p_noise, levels = estimate.scores.softmax(1).detach().numpy(), estimate.levels.clamp(0, 1).detach().numpy()
    raw = {"p_noise": p_noise, "levels": levels}
    (prediction,) = decode_predictions(raw, (1, 32, 32, 1), threshold=None, noise_types=kinds)
    outputs[len(kinds)] = [len(prediction.noise.probabilities), list(prediction.noise.levels)]
print(json.dumps([sorted(drawn), drawn["speckle"].levels["speckle"], list(old), outputs, list(SWEEP_LEVELS)]))
"""
    drawn, level, old, outputs, swept = result_of(package, code)

    assert drawn == ["gaussian", "none", "periodic", "salt_and_pepper", "speckle"]
    assert 0.05 <= level <= 0.4
    assert old == ["gaussian", "salt_and_pepper", "periodic", "none"]
    assert outputs == {
        "5": [5, ["gaussian", "salt_and_pepper", "speckle"]],
        "4": [4, ["gaussian", "salt_and_pepper"]],
    }
    assert swept == ["gaussian", "salt_and_pepper", "periodic", "speckle"]


@pytest.mark.parametrize("names", [[], ["gaussian", "gaussian"], ["none", "speckle"], "none"])
def test_a_manifest_with_other_noise_types_is_rejected(bundle: Path, names: object) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8")) | {"noise_types": names}

    with pytest.raises(OutputError, match=r"lists the noise types .*; expected some of gaussian, salt_and_pepper"):
        parse_manifest(json.dumps(manifest).encode(), "bundle")


def test_a_bundle_made_before_inspects_as_it_did(package: Path, bundle: Path) -> None:
    code = """
from pathlib import Path
import clearcast
from clearcast.pipelines.networks import load_networks
folder = Path(sys.argv[1])
loaded = clearcast.load(folder)
said = [(each.noise_type, each.p_noise) for each in loaded.predict(folder / "golden")]
print(json.dumps([loaded.noise_types, load_networks(folder)[0].denoiser.noise_types, said, clearcast.__file__]))
"""
    inspected, networks, predicted, file = result_of(package, code, bundle)

    expected = clearcast.load(bundle).predict(bundle / "golden")
    assert Path(file).is_relative_to(package)
    assert inspected == networks == ["gaussian", "salt_and_pepper", "periodic", "none"]
    assert predicted == [[each.noise_type, each.p_noise] for each in expected]
