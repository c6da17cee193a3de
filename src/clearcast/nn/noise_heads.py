"""Noise heads: the noise head estimates noise type and noise levels, the periodic-noise head estimates the waves.

The noise head reads statistics of pixels at full resolution. The periodic-noise head reads a thumbnail of the image; it
also gives a denoised thumbnail and the global features that the noise head reads.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.nn.blocks import (
    FourierBlock,
    ResidualBlock,
    fill_impulses,
    median_filter_3x3,
    resize_area,
    zero_initialise,
)
from clearcast.nn.weights import accept_renamed_weights
from clearcast.noise import noise_types_with_level
from clearcast.noise.registry import NoiseType

DIFFERENCE_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # grey levels
NOISE_STATISTICS = len(DIFFERENCE_STEPS) + 3
NOISE_LEVEL_SCALE = 0.2  # scale of the levels: typical ones are about 1 for the network
THUMBNAIL_SIDE = 128  # pixels a side; waves in images of parts have at most about 25 cycles a side
_WINDOW = 128  # pixels a side of the windows for statistics
_CLIPPED = 0.04  # closer to black or white than this, a pixel may have been clipped


class NoiseHead(nn.Module):
    """Noise head: noise type and noise levels from the global features of an image and statistics of its pixels.

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

    def forward(self, noisy: Tensor, waves: Tensor, global_features: Tensor) -> tuple[Tensor, Tensor]:
        """Classify the noise and estimate its levels.

        Args:
            noisy: float (batch, 1, height, width) in 0..1.
            waves: float (batch, 1, side, side), the estimated periodic noise.
            global_features: float (batch, features), see ``PeriodicNoiseHead``.

        Returns:
            Logits of the noise types (batch, types), in the order of ``noise_types``; levels (batch, levels) in the
            order of ``noise_types_with_level(noise_types)``, such as the standard deviation of Gaussian noise and the
            density of impulses, on the 0..1 scale, not clipped.
        """
        rms = waves.square().mean(dim=(1, 2, 3)).clamp(min=1e-8).log()[:, None]
        outputs = self.layers(torch.cat([global_features, rms, noise_statistics(quadrant_windows(noisy))], dim=1))
        types = len(self.noise_types)
        return outputs[:, :types], outputs[:, types:] * NOISE_LEVEL_SCALE


def conditioning_size(noise_types: Sequence[NoiseType]) -> int:
    """Count the numbers in a conditioning vector: one a noise type, and one a type whose level is estimated."""
    return len(noise_types) + len(noise_types_with_level(noise_types))


def noise_statistics(windows: Tensor) -> Tensor:
    """Pixel statistics of noise, from ``quadrant_windows`` of images in 0..1: float (batch, ``NOISE_STATISTICS``).

    Logarithms of the share of pixels that differ from the median of their neighbours by more than each of
    ``DIFFERENCE_STEPS``, of pixels that look like impulses, and of black and of white pixels.
    """
    filled, kept = fill_impulses(windows)
    difference = (windows - median_filter_3x3(filled)).abs()
    steps = torch.tensor(DIFFERENCE_STEPS, dtype=windows.dtype, device=windows.device)[:, None, None] / 255
    shares = torch.cat([difference > steps, kept < 0.5, windows < 0.04, windows > 0.96], dim=1)
    means = shares.float().mean(dim=(2, 3))
    return means.reshape(4, -1, means.shape[1]).mean(dim=0).add(1e-4).log()


def quadrant_windows(images: Tensor, side: int = _WINDOW) -> Tensor:
    """Cut four windows out of (batch, channels, height, width), at the centres of the quadrants, one after the other.

    Noise is the same everywhere, so about ten thousand pixels suffice to measure it.

    Returns:
        (4 batch, channels, side, side), smaller if the image is smaller.
    """
    height, width = images.shape[-2:]
    window_height, window_width = min(side, height // 2), min(side, width // 2)
    rows = [height // 4 - window_height // 2, height - height // 4 - window_height + window_height // 2]
    columns = [width // 4 - window_width // 2, width - width // 4 - window_width + window_width // 2]
    return torch.cat([images[..., y : y + window_height, x : x + window_width] for y in rows for x in columns])


class PeriodicNoiseHead(nn.Module):
    """Periodic-noise head: estimates waves, a denoised thumbnail, and global features from a noisy image.

    A U-Net (Ronneberger et al. 2015) of three levels with Fourier layers at the upper two. Clipped waves bias the mean
    of pixels, so the shares of black and white pixels are inputs too.
    """

    def __init__(self, channels: tuple[int, int, int] = (24, 48, 96)) -> None:
        super().__init__()
        top, middle, bottom = channels
        self.feature_count = bottom
        side = THUMBNAIL_SIDE // 2
        self.input_conv = nn.Conv2d(4 * 3 + 2, top, 3, padding=1)
        self.top_in = nn.Sequential(ResidualBlock(top), FourierBlock(top, side))
        self.to_middle = nn.Conv2d(top, middle, 2, stride=2)
        self.middle_in = nn.Sequential(ResidualBlock(middle), FourierBlock(middle, side // 2))
        self.to_bottom = nn.Conv2d(middle, bottom, 2, stride=2)
        self.bottom = nn.Sequential(ResidualBlock(bottom), ResidualBlock(bottom))
        self.from_bottom = nn.Conv2d(bottom, 4 * middle, 1)
        self.middle_out = nn.Sequential(FourierBlock(middle, side // 2), ResidualBlock(middle))
        self.from_middle = nn.Conv2d(middle, 4 * top, 1)
        self.top_out = nn.Sequential(FourierBlock(top, side), ResidualBlock(top))
        self.output_conv = nn.Conv2d(top, 4 * 2, 3, padding=1)
        zero_initialise(self.output_conv)
        axis = torch.linspace(-1, 1, side)
        self.register_buffer(
            "coordinates", torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None], persistent=False
        )
        accept_renamed_weights(self, {"enter": "input_conv", "leave": "output_conv"})

    def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate waves, denoised thumbnail and global features.

        Args:
            noisy: float (batch, 1, height, width) in 0..1, any height and width.

        Returns:
            The waves before clipping, float (batch, 1, side, side) with side ``THUMBNAIL_SIDE``; the denoised
            thumbnail, of the same shape, about 0..1; and the global features, (batch, features).
        """
        small = _clipping_thumbnail(noisy)
        top = self.top_in(self.input_conv(self._inputs(small)))
        middle = self.middle_in(self.to_middle(top))
        bottom = self.bottom(self.to_bottom(middle))
        global_features = bottom.mean(dim=(2, 3))
        middle = self.middle_out(middle + functional.pixel_shuffle(self.from_bottom(bottom), 2))
        top = self.top_out(top + functional.pixel_shuffle(self.from_middle(middle), 2))
        waves, correction = functional.pixel_shuffle(self.output_conv(top), 2).chunk(2, dim=1)
        return waves, small[:, :1] - waves + correction, global_features

    def _inputs(self, small: Tensor) -> Tensor:
        cells = functional.pixel_unshuffle(small, 2)
        return torch.cat([cells, self.get_buffer("coordinates").expand(cells.shape[0], -1, -1, -1)], dim=1)


def _clipping_thumbnail(noisy: Tensor) -> Tensor:
    """Shrink to mean, share of black and share of white pixels: (batch, 1, height, width) to (batch, 3, side, side)."""
    black = ((_CLIPPED - noisy) / _CLIPPED).clamp(0, 1)
    white = ((noisy - 1 + _CLIPPED) / _CLIPPED).clamp(0, 1)
    return resize_area(torch.cat([noisy, black, white], dim=1), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
