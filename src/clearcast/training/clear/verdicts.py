"""The pictures that recipe ``clear``'s judge learns from: restored ones, as on the line, and noise-free ones."""

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
_SHARE, _ENOUGH = 0.8, 384  # of a picture's sides, where that leaves so many pixels
_MULTIPLE = 32


def judged_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """(height, width) in pixels that pictures of a shape are judged at.

    A compromise: at half of 512 x 512 pixels fine defects are judged far worse, at three quarters a little worse than
    in full, in half the time.
    """
    height, width = (
        side if side <= _ENOUGH else max(_ENOUGH, round(_SHARE * side / _MULTIPLE) * _MULTIPLE) for side in shape
    )
    return height, width


class RestoredViews:
    """Views of rows for ``fit_judge``, all of one shape.

    View 0 is the restored noisy picture: what is judged on the line. View 1 is the noise-free one as it is, view 2 a
    variation of it, view 3 a variation with noise made anew, restored; further ones like 2 and 3 in turns. Where there
    is no noise-free picture, the restored one stands for it.

    Args:
        pairs: the rows.
        channels: those of the restorer.
        shape: (height, width) in pixels that pictures are judged at.
        restorer: fitted, in evaluation mode.
        seed: with row and view it decides every variation and noise.
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
        """The picture of a row's view, uint8 of the shape given; the same each time."""
        pair = self._pairs[row]
        rng = np.random.default_rng((self._seed, row, view))
        if view == 0 and pair.noisy:
            return self._shaped(self._restored(pair.noisy))
        clean = imaging.load(pair.clean, self._channels) if pair.clean else self._restored(pair.noisy)
        varied = vary(clean, rng) if view >= 2 else clean
        if view == 0 or (view % 2 and view > 1):
            varied, _ = restore(self._restorer, spoil(varied, rng).noisy)
        return self._shaped(varied)

    def _restored(self, noisy: Path | None) -> Picture:
        assert noisy, "a pair has one picture at least"
        return restore(self._restorer, imaging.load(noisy, self._channels))[0]

    def _shaped(self, picture: Picture) -> Picture:
        """As the judge brings it to its size, rounded to grey levels."""
        if picture.shape[:2] == self._shape:
            return picture
        channels = torch.from_numpy(picture.reshape(*picture.shape[:2], -1)).permute(2, 0, 1)
        shaped = shrink(channels[None].float(), *self._shape)[0].permute(1, 2, 0)
        return shaped.round().to(torch.uint8).reshape(*self._shape, *picture.shape[2:]).numpy()
