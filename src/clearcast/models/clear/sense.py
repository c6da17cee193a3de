"""Noise head: classifies the noise type of an image and estimates the noise levels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clearcast.domain import NoiseType
from clearcast.models.clear.blocks import fill, median3
from clearcast.noise import estimated_noises

STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # grey levels
STATISTICS = len(STEPS) + 3
_WINDOW = 128  # pixels a side
LEVEL_UNIT = 0.2  # scale of the levels: typical ones are about 1 for the network


class NoiseSense(nn.Module):
    """Noise type and levels from the global features of an image and statistics of its pixels.

    Args:
        features: number of global features, see ``WaveFinder``.
        noise_types: the classes, in the order of the outputs.
        hidden: width of the hidden layers.
    """

    def __init__(self, features: int, noise_types: Sequence[NoiseType] = tuple(NoiseType), *, hidden: int = 96) -> None:
        super().__init__()
        self.noise_types = tuple(noise_types)
        self.layers = nn.Sequential(
            nn.LayerNorm(features + 1 + STATISTICS),
            nn.Linear(features + 1 + STATISTICS, hidden),
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
            order of ``estimated_noises(noise_types)``, such as the standard deviation of Gaussian noise and the density
            of impulses, on the 0..1 scale, not clipped.
        """
        rms = waves.square().mean(dim=(1, 2, 3)).clamp(min=1e-8).log()[:, None]
        outputs = self.layers(torch.cat([whole, rms, statistics(windows(noisy))], dim=1))
        types = len(self.noise_types)
        return outputs[:, :types], outputs[:, types:] * LEVEL_UNIT


def conditioning_size(noise_types: Sequence[NoiseType]) -> int:
    """How many numbers describe the noise: one a class, and one a class whose level is estimated."""
    return len(noise_types) + len(estimated_noises(noise_types))


def statistics(pieces: Tensor) -> Tensor:
    """Pixel statistics of noise, from ``windows`` of images in 0..1: float (batch, ``STATISTICS``).

    Logarithms of the share of pixels that differ from the median of their neighbours by more than each of ``STEPS``, of
    pixels that look like impulses, and of black and of white pixels.
    """
    filled, kept = fill(pieces)
    difference = (pieces - median3(filled)).abs()
    steps = torch.tensor(STEPS, dtype=pieces.dtype, device=pieces.device)[:, None, None] / 255
    shares = torch.cat([difference > steps, kept < 0.5, pieces < 0.04, pieces > 0.96], dim=1)
    means = shares.float().mean(dim=(2, 3))
    return means.reshape(4, -1, means.shape[1]).mean(dim=0).add(1e-4).log()


def windows(pictures: Tensor, side: int = _WINDOW) -> Tensor:
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
