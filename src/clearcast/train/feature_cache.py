"""Feature cache: backbone features of many images in files, so that fitting is resumable and needs little memory."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearcast.core.console import ProgressCallback
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.files import replace_file
from clearcast.nn.backbone import BackboneFeatures, FeatureExtractor
from clearcast.nn.defect_classifier import minmax_pool

MakeView = Callable[[int, int], ImageArray]
"""From (row, view) to an image to learn from, uint8 (height, width) or (height, width, 3), all of one size.

View 0 is the image as it will be classified, the others are augmentations; the same arguments give the same image.
"""

_BATCH = 8  # images


@dataclass(frozen=True, kw_only=True)
class CachedFeatures:
    """Cached features of one view of all rows.

    ``fine`` and ``coarse`` are those of ``BackboneFeatures``, memory-mapped float16 (rows, channels, h, w);
    ``extremes`` is float32 (rows, ``EXTREME_FEATURES`` of ``nn.defect_classifier``).
    """

    fine: NDArray[np.float16]
    coarse: NDArray[np.float16]
    extremes: NDArray[np.float32]

    def features(self, rows: NDArray[np.int64]) -> BackboneFeatures:
        """Read the features of some rows, float32."""
        return BackboneFeatures(*(torch.from_numpy(values[rows]).float() for values in (self.fine, self.coarse)))


def cache_features(
    backbone: FeatureExtractor,
    make_view: MakeView,
    *,
    view: int,
    rows: int,
    folder: Path,
    device: torch.device,
    progress: ProgressCallback,
) -> CachedFeatures:
    """Extract and cache the features of one view of each row, or read them if an earlier call finished.

    Args:
        backbone: the feature extractor.
        make_view: makes the images.
        view: number of the view.
        rows: number of rows.
        folder: for the cache; must be for these images and this backbone alone.
        device: that the backbone is on.
        progress: counts this view's rows.
    """
    paths = [folder / f"view-{view}-{name}.npy" for name in ("fine", "coarse", "extremes")]
    if not all(path.is_file() for path in paths):
        with ExitStack() as stack:
            temporary = [stack.enter_context(replace_file(path)) for path in paths]
            files: list[NDArray[np.generic]] = []
            for first in range(0, rows, _BATCH):
                images = np.stack([make_view(row, view) for row in range(first, min(first + _BATCH, rows))])
                arrays = _extract(backbone, images, device)
                files = files or [_create_file(path, rows, each) for path, each in zip(temporary, arrays, strict=True)]
                for file, array in zip(files, arrays, strict=True):
                    file[first : first + len(images)] = array
                progress(first + len(images), rows)
            files.clear()  # closes the files before they are moved into place
    progress(rows, rows)
    fine, coarse, extremes = paths
    return CachedFeatures(fine=np.load(fine, "r"), coarse=np.load(coarse, "r"), extremes=np.load(extremes))


@torch.inference_mode()
def _extract(backbone: FeatureExtractor, images: ImageArray, device: torch.device) -> list[NDArray[np.generic]]:
    """Extract fine and coarse features, float16, and their extremes, float32."""
    channels_first = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)
    tensor: Tensor = torch.from_numpy(np.ascontiguousarray(channels_first)).to(device).float() / 255
    features = backbone(tensor.contiguous(memory_format=torch.channels_last))
    return [
        features.fine.half().cpu().numpy(),
        features.coarse.half().cpu().numpy(),
        minmax_pool(features).cpu().numpy(),
    ]


def _create_file(path: Path, rows: int, like: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.lib.format.open_memmap(path, "w+", dtype=like.dtype, shape=(rows, *like.shape[1:]))
