"""Periodic-noise head: estimates the waves of periodic noise on a thumbnail of the image."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.models.clear.blocks import Fourier, Residual
from clearcast.models.clear.resample import shrink

SIDE = 128  # pixels of the thumbnail; waves of the data have about 25 cycles a side at most
_CLIPPED = 0.04  # nearer than this to black or white, a pixel may have been clipped


class WaveFinder(nn.Module):
    """From a noisy image to its waves, a denoised thumbnail, and a vector of global features.

    A U-Net (Ronneberger et al. 2015) of three levels with Fourier layers at the upper two. Clipped waves bias the mean
    of pixels, so the shares of black and white pixels are inputs too.
    """

    def __init__(self, channels: tuple[int, int, int] = (24, 48, 96)) -> None:
        super().__init__()
        top, middle, bottom = channels
        self.features = bottom
        side = SIDE // 2
        self.enter = nn.Conv2d(4 * 3 + 2, top, 3, padding=1)
        self.top_in = nn.Sequential(Residual(top), Fourier(top, side))
        self.to_middle = nn.Conv2d(top, middle, 2, stride=2)
        self.middle_in = nn.Sequential(Residual(middle), Fourier(middle, side // 2))
        self.to_bottom = nn.Conv2d(middle, bottom, 2, stride=2)
        self.bottom = nn.Sequential(Residual(bottom), Residual(bottom))
        self.from_bottom = nn.Conv2d(bottom, 4 * middle, 1)
        self.middle_out = nn.Sequential(Fourier(middle, side // 2), Residual(middle))
        self.from_middle = nn.Conv2d(middle, 4 * top, 1)
        self.top_out = nn.Sequential(Fourier(top, side), Residual(top))
        self.leave = nn.Conv2d(top, 4 * 2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(torch.as_tensor(self.leave.bias))
        place = torch.linspace(-1, 1, side)
        self.register_buffer("places", torch.stack(torch.meshgrid(place, place, indexing="ij"))[None], persistent=False)

    def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate the waves.

        Args:
            noisy: float (batch, 1, height, width) in 0..1, any height and width.

        Returns:
            The waves before clipping, float (batch, 1, SIDE, SIDE); the denoised thumbnail, of the same shape,
            about 0..1; and the global features, (batch, features).
        """
        small = thumbnail(noisy)
        top = self.top_in(self.enter(self._inputs(small)))
        middle = self.middle_in(self.to_middle(top))
        bottom = self.bottom(self.to_bottom(middle))
        whole = bottom.mean(dim=(2, 3))
        middle = self.middle_out(middle + functional.pixel_shuffle(self.from_bottom(bottom), 2))
        top = self.top_out(top + functional.pixel_shuffle(self.from_middle(middle), 2))
        waves, change = functional.pixel_shuffle(self.leave(top), 2).chunk(2, dim=1)
        return waves, small[:, :1] - waves + change, whole

    def _inputs(self, small: Tensor) -> Tensor:
        cells = functional.pixel_unshuffle(small, 2)
        return torch.cat([cells, self.get_buffer("places").expand(cells.shape[0], -1, -1, -1)], dim=1)


def thumbnail(noisy: Tensor) -> Tensor:
    """Shrink to mean, share of black and share of white pixels: (batch, 1, height, width) to (batch, 3, SIDE, SIDE)."""
    black = ((_CLIPPED - noisy) / _CLIPPED).clamp(0, 1)
    white = ((noisy - 1 + _CLIPPED) / _CLIPPED).clamp(0, 1)
    return shrink(torch.cat([noisy, black, white], dim=1), SIDE, SIDE)
