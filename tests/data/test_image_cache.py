"""Image cache: batches, memory budget and broken images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.errors import PictureError
from clearcast.data.images import ImageCache

SIZE = 8


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        imaging.save_image(path, rng.integers(0, 256, (12, 20, 3), np.uint8))
    return paths


def expected(paths: Sequence[Path], channels: Channels) -> list[np.ndarray]:
    images = [imaging.resize_image(imaging.load_image(path, channels), SIZE, SIZE) for path in paths]
    return [image.reshape(SIZE, SIZE, channels.depth) for image in images]


@pytest.mark.parametrize("channels", list(Channels))
@pytest.mark.parametrize("cached", [0, 1, 3, 5, 9])
def test_a_batch_does_not_depend_on_the_budget(paths: list[Path], channels: Channels, cached: int) -> None:
    cache = ImageCache(paths, size=SIZE, channels=channels, budget=cached * SIZE * SIZE * channels.depth)
    rows = [4, 0, 3, 0]

    batch = cache.batch(rows)

    assert batch.dtype == np.uint8
    assert batch.shape == (4, SIZE, SIZE, channels.depth)
    np.testing.assert_array_equal(batch, expected([paths[row] for row in rows], channels))
    assert len(cache) == 5
    assert cache.all_cached == (cached >= 5)


def test_cached_images_are_decoded_once(paths: list[Path]) -> None:
    cache = ImageCache(paths, size=SIZE, channels=Channels.RGB, budget=10**6)
    before = cache.batch(range(5))
    for path in paths:
        path.unlink()

    np.testing.assert_array_equal(cache.batch(range(5)), before)


def test_a_returned_batch_can_be_modified(paths: list[Path]) -> None:
    cache = ImageCache(paths, size=SIZE, channels=Channels.RGB, budget=10**6)
    before = cache.batch([0]).copy()

    cache.batch([0])[:] = 0

    np.testing.assert_array_equal(cache.batch([0]), before)


def test_progress_counts_the_cached_images(paths: list[Path]) -> None:
    progress_calls: list[tuple[int, int]] = []

    ImageCache(
        paths,
        size=SIZE,
        channels=Channels.GREY,
        budget=3 * SIZE * SIZE,
        progress=lambda done, total: progress_calls.append((done, total)),
    )

    assert progress_calls == [(1, 3), (2, 3), (3, 3)]


def test_the_description_counts_the_cached_images(paths: list[Path]) -> None:
    whole = ImageCache(paths, size=SIZE, channels=Channels.RGB, budget=10**6)
    part = ImageCache(paths, size=SIZE, channels=Channels.RGB, budget=2 * SIZE * SIZE * 3)

    assert whole.description.startswith("all 5 images cached in memory")
    assert part.description.startswith("2 of 5 images cached in memory")
    assert "--cache-mb" in part.description


def test_empty_caches_and_batches_are_allowed(paths: list[Path]) -> None:
    assert len(ImageCache([], size=SIZE, channels=Channels.RGB, budget=0)) == 0
    assert ImageCache(paths, size=SIZE, channels=Channels.RGB, budget=0).batch([]).shape == (0, SIZE, SIZE, 3)


def test_a_broken_cached_image_is_named_at_once(paths: list[Path]) -> None:
    paths[3].write_bytes(paths[3].read_bytes()[:-20])

    with pytest.raises(PictureError, match=r"3\.png"):
        ImageCache(paths, size=SIZE, channels=Channels.RGB, budget=10**6)


def test_a_broken_image_beyond_the_cache_is_named_on_use(paths: list[Path]) -> None:
    paths[3].unlink()
    cache = ImageCache(paths, size=SIZE, channels=Channels.RGB, budget=0)

    assert cache.batch([0, 1]).shape == (2, SIZE, SIZE, 3)
    with pytest.raises(PictureError, match=r"3\.png: no such file"):
        cache.batch([2, 3])
