"""Image pairs of recipe clear: shapes, cropping, cache and samples."""

from pathlib import Path

import numpy as np
import pytest

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import SheetError
from clearcast.noise.registry import NoiseType
from clearcast.train import paired_images
from clearcast.train.denoiser_training import crop_side, make_detail_batch, make_global_batch
from clearcast.train.paired_images import ImagePair, PairedImageCache, detect_channels

SIZES = ((96, 160), (96, 160), (64, 64), (100, 170), (200, 300))  # (height, width); the median is the first


def gradient(number: int) -> ImageArray:
    """A gradient with a colour cast, another one for each number."""
    height, width = SIZES[number]
    down, across = np.mgrid[:height, :width]
    return np.dstack([down % 200, across % 200, np.full_like(down, 40 * number)]).astype(np.uint8)


@pytest.fixture
def pairs(tmp_path: Path) -> list[ImagePair]:
    """Pairs of several sizes, whose noisy image is the negative."""
    image_pairs = []
    for number in range(len(SIZES)):
        noise_free, noisy = tmp_path / f"{number}-clean.png", tmp_path / f"{number}-noisy.png"
        imaging.save_image(noise_free, gradient(number))
        imaging.save_image(noisy, 255 - gradient(number))
        image_pairs.append(ImagePair(noise_free=noise_free, noisy=noisy, noise_type=NoiseType.GAUSSIAN))
    return image_pairs


@pytest.mark.parametrize("channels", Channels)
def test_batches_of_images_of_many_sizes_have_one_shape(pairs: list[ImagePair], channels: Channels) -> None:
    cache = PairedImageCache(pairs, channels)
    assert cache.shape == SIZES[0]
    for seed in range(8):
        noisy, noise_free, *_ = make_global_batch(cache, np.random.default_rng(seed))
        assert noisy.shape == noise_free.shape == (len(noisy), *SIZES[0], channels.depth)
        noisy, noise_free, corners = make_detail_batch(cache, crop_side(cache), np.random.default_rng(seed))
        assert noisy.shape[1:] == noise_free.shape[1:] == (*SIZES[0], channels.depth)
        assert (corners >= 0).all()
        assert (corners[:, 1] <= SIZES[0][1] - crop_side(cache)).all()


def test_a_pair_is_cropped_but_never_resized(pairs: list[ImagePair], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired_images, "_SHEET_PAIR", 1.0)
    for number, size in enumerate(SIZES):
        sample = PairedImageCache([pairs[number]], Channels.RGB, shape=SIZES[0]).sample(np.random.default_rng(number))
        if size < SIZES[0]:
            levels = sample.levels  # too small: only its noise-free image is used, with synthetic noise
            assert levels[NoiseType.GAUSSIAN] is not None
        else:
            assert (sample.noise_type, sample.levels[NoiseType.GAUSSIAN]) == (NoiseType.GAUSSIAN, None)
            np.testing.assert_array_equal(sample.noisy, 255 - sample.noise_free)


def test_images_without_colour_are_grey_also_in_colour_files(tmp_path: Path, pairs: list[ImagePair]) -> None:
    grey = np.repeat(gradient(0)[:, :, :1], 3, axis=2)
    imaging.save_image(tmp_path / "grey.jpg", grey)
    assert detect_channels([tmp_path / "grey.jpg"]) is Channels.GREY
    assert pairs[0].noise_free
    assert detect_channels([tmp_path / "grey.jpg", pairs[0].noise_free]) is Channels.RGB


@pytest.mark.parametrize("cached", [0, 2])
def test_samples_do_not_depend_on_the_cache(
    pairs: list[ImagePair], monkeypatch: pytest.MonkeyPatch, cached: int
) -> None:
    whole = PairedImageCache(pairs, Channels.RGB)
    monkeypatch.setattr(paired_images, "_BUDGET", cached * 2 * 96 * 160 * 3)
    reported: list[tuple[int, int]] = []
    part = PairedImageCache(pairs, Channels.RGB, progress=lambda done, total: reported.append((done, total)))
    assert (whole.cached_count, part.cached_count, len(part)) == (len(pairs), cached, len(pairs))
    assert reported == [(done, cached) for done in range(1, cached + 1)]
    for seed in range(20):
        first, second = (cache.sample(np.random.default_rng(seed)) for cache in (whole, part))
        np.testing.assert_array_equal(first.noisy, second.noisy)
        np.testing.assert_array_equal(first.noise_free, second.noise_free)


def test_no_image_to_learn_from_is_refused() -> None:
    with pytest.raises(SheetError, match="at least one noise-free image"):
        PairedImageCache([], Channels.GREY)


def test_pairs_without_a_noise_free_image_are_left_out(pairs: list[ImagePair]) -> None:
    noisy_only = [ImagePair(noisy=pair.noisy, noise_type=pair.noise_type) for pair in pairs]

    assert len(PairedImageCache([*noisy_only, *pairs[:2]], Channels.GREY)) == 2
    with pytest.raises(SheetError, match="expected at least one noise-free image"):
        PairedImageCache(noisy_only, Channels.GREY)
