"""Decoded images of one size, kept in memory as far as a budget allows."""

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
    """Gives batches of images, resized to one square size; decodes each once where memory allows, else every time.

    Args:
        paths: the image files, indexed by row.
        size: height and width of what is given out, in pixels.
        channels: colour (3) or grey (1).
        budget: how many bytes of decoded images may be kept.
        progress: called with (done, all) while the kept images are decoded.

    Raises:
        PictureError: one of the kept images cannot be used.
    """

    def __init__(
        self, paths: Sequence[Path], *, size: int, channels: Channels, budget: int, progress: Progress | None = None
    ) -> None:
        self._paths = tuple(paths)
        self._size = size
        self._channels = channels
        shape = (size, size, channels.depth)
        kept = min(len(self._paths), max(budget, 0) // int(np.prod(shape)))
        self._kept = np.empty((kept, *shape), np.uint8)
        self._pool = ThreadPoolExecutor(os.cpu_count())
        for done, _ in enumerate(self._pool.map(self._keep, range(kept)), 1):
            if progress:
                progress(done, kept)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def all_kept(self) -> bool:
        """Whether every image is in memory."""
        return len(self._kept) == len(self._paths)

    @property
    def kept_bytes(self) -> int:
        """How much memory the kept images take."""
        return self._kept.nbytes

    @property
    def description(self) -> str:
        """What is kept, in one sentence."""
        megabytes = math.ceil(self._kept.nbytes / 2**20)
        if self.all_kept:
            return f"all {len(self)} images kept decoded in memory ({megabytes} MB)"
        return (
            f"{len(self._kept)} of {len(self)} images kept decoded in memory ({megabytes} MB); the others are "
            "decoded anew each time: raise --cache-mb to keep more"
        )

    def batch(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Images of these rows: uint8, shape (len(rows), size, size, channels), values 0..255."""
        images = np.empty((len(rows), *self._kept.shape[1:]), np.uint8)
        missing = [(place, row) for place, row in enumerate(rows) if row >= len(self._kept)]
        for place, row in enumerate(rows):
            if row < len(self._kept):
                images[place] = self._kept[row]
        decoded = self._pool.map(self._load, [row for _, row in missing])
        for (place, _), image in zip(missing, decoded, strict=True):
            images[place] = image
        return images

    def _keep(self, row: int) -> None:
        self._kept[row] = self._load(row)

    def _load(self, row: int) -> NDArray[np.uint8]:
        image = imaging.resize(imaging.load(self._paths[row], self._channels), self._size, self._size)
        return image.reshape(self._size, self._size, self._channels.depth)
