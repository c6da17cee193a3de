"""Training views of recipe ``clear``'s classifier: denoised images, as in inspection, and noise-free images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from clearcast import imaging
from clearcast.imaging import Channels, Picture
from clearcast.models.clear.resample import shrink
from clearcast.models.clear.restorer import Restorer
from clearcast.models.clear.restoring import restore
from clearcast.training.clear.gallery import Pair
from clearcast.training.synthesis import spoil
from clearcast.training.views import vary

VIEWS = 4
_SHARE, _ENOUGH = 0.8, 384  # share of an image's sides to classify at, unless that leaves fewer pixels than this
_MULTIPLE = 32  # pixels


def judged_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Choose the (height, width) in pixels that images of a shape are classified at.

    A compromise: compared with the full 512 x 512 pixels, half the side misses many fine defects; three quarters of it
    is slightly less accurate, in half the time.
    """
    height, width = (
        side if side <= _ENOUGH else max(_ENOUGH, round(_SHARE * side / _MULTIPLE) * _MULTIPLE) for side in shape
    )
    return height, width


class RestoredViews:
    """Denoised views of rows for ``fit_judge``, all of one shape.

    View 0 is the denoised noisy image, as in inspection. View 1 is the noise-free image, view 2 an augmentation of it,
    view 3 an augmentation with synthetic noise, denoised; further views alternate like 2 and 3. Without a noise-free
    image, the denoised image takes its place.

    Args:
        pairs: the rows.
        channels: those of the denoiser.
        shape: (height, width) in pixels that images are classified at.
        restorer: fitted, in evaluation mode.
        seed: decides augmentation and noise, together with row and view.
    """

    def __init__(
        self, pairs: Sequence[Pair], channels: Channels, shape: tuple[int, int], restorer: Restorer, *, seed: int
    ) -> None:
        self._pairs = pairs
        self._channels = channels
        self._shape = shape
        self._restorer = restorer
        self._seed = seed

    def __call__(self, row: int, view: int) -> Picture:
        """Make a view of a row, uint8 of the given shape; the same at each call."""
        pair = self._pairs[row]
        rng = np.random.default_rng((self._seed, row, view))
        if view == 0 and pair.noisy:
            return self._resize(self._denoise(pair.noisy))
        clean = imaging.load(pair.clean, self._channels) if pair.clean else self._denoise(pair.noisy)
        varied = vary(clean, rng) if view >= 2 else clean
        if view == 0 or (view % 2 and view > 1):
            varied, _ = restore(self._restorer, spoil(varied, rng).noisy)
        return self._resize(varied)

    def _denoise(self, noisy: Path | None) -> Picture:
        assert noisy, "a pair has at least one image"
        return restore(self._restorer, imaging.load(noisy, self._channels))[0]

    def _resize(self, image: Picture) -> Picture:
        """Resize as the classifier does, and round to grey levels."""
        if image.shape[:2] == self._shape:
            return image
        channels = torch.from_numpy(image.reshape(*image.shape[:2], -1)).permute(2, 0, 1)
        resized = shrink(channels[None].float(), *self._shape)[0].permute(1, 2, 0)
        return resized.round().to(torch.uint8).reshape(*self._shape, *image.shape[2:]).numpy()
