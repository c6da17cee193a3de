"""Noise head: classifies the noise type of an image and estimates the noise levels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.nn.blocks import FourierBlock, ResidualBlock, fill_impulses, median_filter_3x3, resize_area
from clearcast.noise import noise_types_with_level
from clearcast.noise.registry import NoiseType

DIFFERENCE_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # grey levels
NOISE_STATISTICS = len(DIFFERENCE_STEPS) + 3
_WINDOW = 128  # pixels a side
NOISE_LEVEL_SCALE = 0.2  # scale of the levels: typical ones are about 1 for the network


class NoiseHead(nn.Module):
    """Noise type and levels from the global features of an image and statistics of its pixels.

    Args:
        features: number of global features, see ``PeriodicNoiseHead``.
        noise_types: the classes, in the order of the outputs.
        hidden: width of the hidden layers.
    """

    def __init__(self, features: int, noise_types: Sequence[NoiseType] = tuple(NoiseType), *, hidden: int = 96) -> None:
        super().__init__()
        self.noise_types = tuple(noise_types)
        self.layers = nn.Sequential(
            nn.LayerNorm(features + 1 + NOISE_STATISTICS),
            nn.Linear(features + 1 + NOISE_STATISTICS, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, conditioning_size(noise_types)),
        )

    def forward(self, noisy: Tensor, waves: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
        """Classify the noise and estimate its levels.

        Args:
            noisy: float (batch, 1, height, width) in 0..1.
            waves: float (batch, 1, side, side), the estimated periodic noise.
            whole: float (batch, features), the global features.

        Returns:
            Logits of the noise types (batch, types), in the order of ``noise_types``; levels (batch, levels) in the
            order of ``noise_types_with_level(noise_types)``, such as the standard deviation of Gaussian noise and the
            density of impulses, on the 0..1 scale, not clipped.
        """
        rms = waves.square().mean(dim=(1, 2, 3)).clamp(min=1e-8).log()[:, None]
        outputs = self.layers(torch.cat([whole, rms, noise_statistics(quadrant_windows(noisy))], dim=1))
        types = len(self.noise_types)
        return outputs[:, :types], outputs[:, types:] * NOISE_LEVEL_SCALE


def conditioning_size(noise_types: Sequence[NoiseType]) -> int:
    """How many numbers describe the noise: one a class, and one a class whose level is estimated."""
    return len(noise_types) + len(noise_types_with_level(noise_types))


def noise_statistics(pieces: Tensor) -> Tensor:
    """Pixel statistics of noise, from ``quadrant_windows`` of images in 0..1: float (batch, ``NOISE_STATISTICS``).

    Logarithms of the share of pixels that differ from the median of their neighbours by more than each of ``STEPS``, of
    pixels that look like impulses, and of black and of white pixels.
    """
    filled, kept = fill_impulses(pieces)
    difference = (pieces - median_filter_3x3(filled)).abs()
    steps = torch.tensor(DIFFERENCE_STEPS, dtype=pieces.dtype, device=pieces.device)[:, None, None] / 255
    shares = torch.cat([difference > steps, kept < 0.5, pieces < 0.04, pieces > 0.96], dim=1)
    means = shares.float().mean(dim=(2, 3))
    return means.reshape(4, -1, means.shape[1]).mean(dim=0).add(1e-4).log()


def quadrant_windows(pictures: Tensor, side: int = _WINDOW) -> Tensor:
    """Cut four windows out of (batch, channels, height, width), at the centres of the quadrants, one after the other.

    Noise is the same everywhere, so about ten thousand pixels suffice to measure it.

    Returns:
        (4 batch, channels, side, side), smaller if the image is smaller.
    """
    height, width = pictures.shape[-2:]
    tall, wide = min(side, height // 2), min(side, width // 2)
    rows = [height // 4 - tall // 2, height - height // 4 - tall + tall // 2]
    columns = [width // 4 - wide // 2, width - width // 4 - wide + wide // 2]
    return torch.cat([pictures[..., y : y + tall, x : x + wide] for y in rows for x in columns])


THUMBNAIL_SIDE = 128  # pixels of the thumbnail; waves of the data have about 25 cycles a side at most
_CLIPPED = 0.04  # nearer than this to black or white, a pixel may have been clipped


class PeriodicNoiseHead(nn.Module):
    """From a noisy image to its waves, a denoised thumbnail, and a vector of global features.

    A U-Net (Ronneberger et al. 2015) of three levels with Fourier layers at the upper two. Clipped waves bias the mean
    of pixels, so the shares of black and white pixels are inputs too.
    """

    def __init__(self, channels: tuple[int, int, int] = (24, 48, 96)) -> None:
        super().__init__()
        top, middle, bottom = channels
        self.features = bottom
        side = THUMBNAIL_SIDE // 2
        self.enter = nn.Conv2d(4 * 3 + 2, top, 3, padding=1)
        self.top_in = nn.Sequential(ResidualBlock(top), FourierBlock(top, side))
        self.to_middle = nn.Conv2d(top, middle, 2, stride=2)
        self.middle_in = nn.Sequential(ResidualBlock(middle), FourierBlock(middle, side // 2))
        self.to_bottom = nn.Conv2d(middle, bottom, 2, stride=2)
        self.bottom = nn.Sequential(ResidualBlock(bottom), ResidualBlock(bottom))
        self.from_bottom = nn.Conv2d(bottom, 4 * middle, 1)
        self.middle_out = nn.Sequential(FourierBlock(middle, side // 2), ResidualBlock(middle))
        self.from_middle = nn.Conv2d(middle, 4 * top, 1)
        self.top_out = nn.Sequential(FourierBlock(top, side), ResidualBlock(top))
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
        small = clipping_thumbnail(noisy)
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


def clipping_thumbnail(noisy: Tensor) -> Tensor:
    """Shrink to mean, share of black and share of white pixels: (batch, 1, height, width) to (batch, 3, SIDE, SIDE)."""
    black = ((_CLIPPED - noisy) / _CLIPPED).clamp(0, 1)
    white = ((noisy - 1 + _CLIPPED) / _CLIPPED).clamp(0, 1)
    return resize_area(torch.cat([noisy, black, white], dim=1), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
