"""Images of a sheet: metadata with comparison thumbnails, and the cache of decoded images."""

import hashlib
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clearcast.core import imaging
from clearcast.core.console import ProgressCallback
from clearcast.core.decoding.image_info import Channels, ImageArray, ImageHeader
from clearcast.core.errors import PictureError, PictureFault
from clearcast.data.paths import FileNameIndex
from clearcast.data.sheet import Sheet

ThumbnailArray = NDArray[np.uint8]

COMPARISON_THUMBNAIL_SIDE = 32  # pixels


def make_comparison_thumbnail(grey: ImageArray) -> ThumbnailArray:
    """Return a square thumbnail, without preserving the aspect ratio: uint8 (32, 32), from uint8 (height, width)."""
    return np.asarray(
        cv2.resize(grey, (COMPARISON_THUMBNAIL_SIDE, COMPARISON_THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA), np.uint8
    )


@dataclass(frozen=True, kw_only=True)
class ImageMetadata:
    """Metadata of an image file: header, hash and thumbnail, or the reason why the file cannot be used."""

    header: ImageHeader | None = None
    sha256: str = ""
    thumbnail: ThumbnailArray | None = field(default=None, repr=False, compare=False)
    fault: PictureFault | None = None
    message: str = ""


def read_image_metadata(sheet: Sheet, *, progress: ProgressCallback | None = None) -> dict[str, ImageMetadata]:
    """Read and decode each image of a sheet once.

    Returns:
        The metadata by the paths of the rows.
    """
    paths = list(dict.fromkeys(path for row in sheet.rows for path in (row.noisy, row.reference) if path))
    metadata: dict[str, ImageMetadata] = {}
    files = FileNameIndex(sheet.root)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = pool.map(_read_metadata, map(sheet.resolve, paths))
        for done, (path, entry) in enumerate(zip(paths, read, strict=True), 1):
            metadata[path] = _with_advice(entry, path, files)
            if progress:
                progress(done, len(paths))
    return metadata


def _with_advice(entry: ImageMetadata, path: str, files: FileNameIndex) -> ImageMetadata:
    """Add advice about the file name to the message about a missing file."""
    missing = entry.fault is PictureFault.MISSING
    return replace(entry, message=entry.message + files.advice(path)) if missing else entry


def _read_metadata(path: Path) -> ImageMetadata:
    try:
        data = imaging.read_image_bytes(path)
        header = imaging.probe_image(data, str(path))
        grey = imaging.decode_image(data, Channels.GREY, str(path))  # also verifies that the file is complete
    except PictureError as error:
        return ImageMetadata(fault=error.fault, message=str(error))
    height, width = grey.shape
    header = replace(header, width=width, height=height)  # with the EXIF orientation applied
    return ImageMetadata(
        header=header, sha256=hashlib.sha256(data).hexdigest(), thumbnail=make_comparison_thumbnail(grey)
    )


class ImageCache:
    """Cache of decoded images, resized to one square size; images beyond the budget are decoded each time.

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
        self,
        paths: Sequence[Path],
        *,
        size: int,
        channels: Channels,
        budget: int,
        progress: ProgressCallback | None = None,
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
        missing = [(position, row) for position, row in enumerate(rows) if row >= len(self._cached)]
        for position, row in enumerate(rows):
            if row < len(self._cached):
                images[position] = self._cached[row]
        decoded = self._pool.map(self._load, [row for _, row in missing])
        for (position, _), image in zip(missing, decoded, strict=True):
            images[position] = image
        return images

    def _cache_row(self, row: int) -> None:
        self._cached[row] = self._load(row)

    def _load(self, row: int) -> NDArray[np.uint8]:
        image = imaging.resize_image(imaging.load_image(self._paths[row], self._channels), self._size, self._size)
        return image.reshape(self._size, self._size, self._channels.depth)
