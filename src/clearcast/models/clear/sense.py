"""Says which noise spoils a picture, and how strong it is."""

import torch
from torch import Tensor, nn

from clearcast.models.clear.blocks import fill, median3

STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # grey levels
STATISTICS = len(STEPS) + 3
_WINDOW = 128  # pixels a side
LEVELS = ("sigma", "density")
LEVEL_UNIT = 0.2  # levels of about this size are near 1 for the network


class NoiseSense(nn.Module):
    """From what is seen of the whole picture to noise type and levels.

    Args:
        features: how many numbers the wave finder says about the whole picture.
    """

    def __init__(self, features: int, types: int = 4, hidden: int = 96) -> None:
        super().__init__()
        self.types = types
        self.layers = nn.Sequential(
            nn.LayerNorm(features + 1 + STATISTICS),
            nn.Linear(features + 1 + STATISTICS, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, types + len(LEVELS)),
        )

    def forward(self, noisy: Tensor, waves: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
        """Judge the noise.

        Args:
            noisy: float (batch, 1, height, width) in 0..1.
            waves: float (batch, 1, side, side), the waves found.
            whole: float (batch, features), what the wave finder says about the whole.

        Returns:
            Scores of the noise types (batch, types), in the order of ``NoiseType``; levels (batch, 2): standard
            deviation of the grain and density of the impulses, on the 0..1 scale, not clipped.
        """
        rms = waves.square().mean(dim=(1, 2, 3)).clamp(min=1e-8).log()[:, None]
        said = self.layers(torch.cat([whole, rms, statistics(windows(noisy))], dim=1))
        return said[:, : self.types], said[:, self.types :] * LEVEL_UNIT


def statistics(pieces: Tensor) -> Tensor:
    """How unlike their neighbours the pixels are, by ``windows`` of pictures in 0..1: float (batch, ``STATISTICS``).

    The logarithm of the share of pixels that differ from the median of their neighbours by more than so many grey
    levels, of those that look struck by an impulse, and of black and of white ones.
    """
    filled, kept = fill(pieces)
    unlike = (pieces - median3(filled)).abs()
    steps = torch.tensor(STEPS, dtype=pieces.dtype, device=pieces.device)[:, None, None] / 255
    shares = torch.cat([unlike > steps, kept < 0.5, pieces < 0.04, pieces > 0.96], dim=1)
    means = shares.float().mean(dim=(2, 3))
    return means.reshape(4, -1, means.shape[1]).mean(dim=0).add(1e-4).log()


def windows(pictures: Tensor, side: int = _WINDOW) -> Tensor:
    """Four windows of (batch, channels, height, width), about the middles of its quarters, one after the other.

    Noise is alike everywhere, and some ten thousand pixels tell it.

    Returns:
        (4 batch, channels, side, side), smaller where the picture is.
    """
    height, width = pictures.shape[-2:]
    tall, wide = min(side, height // 2), min(side, width // 2)
    rows = [height // 4 - tall // 2, height - height // 4 - tall + tall // 2]
    columns = [width // 4 - wide // 2, width - width // 4 - wide + wide // 2]
    return torch.cat([pictures[..., y : y + tall, x : x + wide] for y in rows for x in columns])
