"""In-memory cache of decoded images, resized to one size, within a memory budget."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearcast import imaging
from clearcast.imaging import Channels
from clearcast.progress import Progress


class PictureStore:
    """Image cache that returns batches, resized to one square size; images beyond the budget are decoded each time.

    Args:
        paths: the image files, indexed by row.
        size: height and width of the returned images in pixels.
        channels: colour (3) or grey (1).
        budget: memory for decoded images in bytes.
        progress: called with (done, total) while the cached images are decoded.

    Raises:
        PictureError: one of the cached images cannot be used.
    """

    def __init__(
        self, paths: Sequence[Path], *, size: int, channels: Channels, budget: int, progress: Progress | None = None
    ) -> None:
        self._paths = tuple(paths)
        self._size = size
        self._channels = channels
        shape = (size, size, channels.depth)
        count = min(len(self._paths), max(budget, 0) // int(np.prod(shape)))
        self._cached = np.empty((count, *shape), np.uint8)
        self._pool = ThreadPoolExecutor(os.cpu_count())
        for done, _ in enumerate(self._pool.map(self._cache_row, range(count)), 1):
            if progress:
                progress(done, count)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def all_cached(self) -> bool:
        """Whether every image is cached."""
        return len(self._cached) == len(self._paths)

    @property
    def cached_bytes(self) -> int:
        """Memory used by the cached images."""
        return self._cached.nbytes

    @property
    def description(self) -> str:
        """Number and size of the cached images, for messages."""
        megabytes = math.ceil(self._cached.nbytes / 2**20)
        if self.all_cached:
            return f"all {len(self)} images cached in memory ({megabytes} MB)"
        return (
            f"{len(self._cached)} of {len(self)} images cached in memory ({megabytes} MB); the others are decoded each "
            "time they are used: raise --cache-mb to cache more"
        )

    def batch(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Return the images of these rows: uint8 (len(rows), size, size, channels), values 0..255."""
        images = np.empty((len(rows), *self._cached.shape[1:]), np.uint8)
        missing = [(place, row) for place, row in enumerate(rows) if row >= len(self._cached)]
        for place, row in enumerate(rows):
            if row < len(self._cached):
                images[place] = self._cached[row]
        decoded = self._pool.map(self._load, [row for _, row in missing])
        for (place, _), image in zip(missing, decoded, strict=True):
            images[place] = image
        return images

    def _cache_row(self, row: int) -> None:
        self._cached[row] = self._load(row)

    def _load(self, row: int) -> NDArray[np.uint8]:
        image = imaging.resize(imaging.load(self._paths[row], self._channels), self._size, self._size)
        return image.reshape(self._size, self._size, self._channels.depth)
