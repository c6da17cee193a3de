"""A seed gives the same noise in every version: hashes of the pixels of the first version."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clearcast import noise
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.noise.registry import NoiseType
from clearcast.synth import augmentation
from clearcast.synth.corruption import degrade_folder

CORRUPTED = {
    NoiseType.GAUSSIAN: "8ff5b9918d8dadc6",
    NoiseType.SALT_AND_PEPPER: "fa26c4a3b0cd3f41",
    NoiseType.PERIODIC: "e5e866e712ad8df1",
}
DEGRADED = {
    NoiseType.GAUSSIAN: "c7be732e468d6084",
    NoiseType.SALT_AND_PEPPER: "04dea7629bc99ad5",
    NoiseType.PERIODIC: "2eb016f4cd2090c7",
    NoiseType.NONE: "b1838665d20a76ae",
}
FOLDER = "bf574258d4f9240a"


def image(*shape: int) -> NDArray[np.uint8]:
    return (np.arange(np.prod(shape)) * 37 % 211 + 20).reshape(shape).astype(np.uint8)


def digest(images: Iterable[NDArray[np.uint8]]) -> str:
    return hashlib.sha256(b"".join(each.tobytes() for each in images)).hexdigest()[:16]


@pytest.mark.parametrize("noise_type", CORRUPTED)
def test_corrupted_images_stay_the_same(noise_type: NoiseType) -> None:
    noisy = []
    for seed, shape in enumerate([(40, 56), (40, 56, 3), (33, 21)]):
        rng = np.random.default_rng(seed)
        level = noise.sample_noise(noise.DEFAULT_NOISE_RANGES[noise_type], rng, shape)
        noisy.append(noise.corrupt_image(image(*shape), level, rng))

    assert digest(noisy) == CORRUPTED[noise_type]


def test_degraded_training_images_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "compress_as_jpeg", lambda image, _: image)  # encoders differ between versions
    by_type: dict[NoiseType, list[NDArray[np.uint8]]] = {}
    for seed in range(60):
        degraded = augmentation.degrade(image(48, 64, 3) if seed % 2 else image(48, 64), np.random.default_rng(seed))
        by_type.setdefault(degraded.noise_type, []).append(degraded.noisy)

    assert {noise_type: digest(images) for noise_type, images in by_type.items()} == DEGRADED


def test_corrupted_folders_stay_the_same(tmp_path: Path) -> None:
    for number in range(7):
        imaging.save_image(tmp_path / "clean" / f"{number}.png", image(24 + number, 32))

    degrade_folder(tmp_path / "clean", tmp_path / "noisy", seed=7, jpeg_quality=None)

    noisy = sorted((tmp_path / "noisy" / "With-Noise").glob("*.png"))
    assert digest(imaging.load_image(path, Channels.GREY) for path in noisy) == FOLDER
