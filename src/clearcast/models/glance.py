"""One look at a noisy picture: what the backbone would see of it without noise, and which noise it is.

The backbone itself with fewer blocks, on a small picture, and taught to see in a noisy one what the whole backbone sees
in the noise-free one (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"; by features, as in Romero et
al. 2015, "FitNets"). So no picture is restored for a verdict, and the judge reads the same kinds of features. What
shrinking hides of the noise is told by statistics of some windows of the picture at its full size.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.domain import NoiseType
from clearcast.models.backbone import Backbone, Features
from clearcast.models.clear.blocks import luma
from clearcast.models.clear.sense import STATISTICS, conditioning_size, statistics, windows
from clearcast.models.judge import Judge, Judgement
from clearcast.noise import estimated_noises

WAVE_NUMBERS = ("rms", "cycles", "cosine", "sine")  # numbers about periodic noise, see ``Glimpse.told``
TOLD = len(estimated_noises()) + len(WAVE_NUMBERS)  # numbers about the levels of noise, see ``Glimpse.told``
LEVEL_UNIT, CYCLES_UNIT, TURN_UNIT = 0.2, 4.0, 0.5  # make numbers of about 1 of what is told

BLOCKS = (1, 2, 2, 2, 2, 1)  # of each stage; all that the backbone has judge no better, and take a third longer

_MULTIPLE = 32
_WINDOW = 64  # pixels a side of the windows for statistics
_HIDDEN = 96
_MOST_CYCLES = 10.0  # logarithm to base 2: more than any picture has


class Glimpse(NamedTuple):
    """What is seen at a glance.

    Attributes:
        features: as those of ``Backbone`` of the picture without noise.
        scores: float (batch, types), of the noise types, in the order of the network's classes.
        told: float (batch, levels + 4), the levels of noise in the order of ``estimated_noises``, such as the standard
            deviation of grain and the density of impulses, then the root mean square of waves, on the 0..1 scale and in
            ``LEVEL_UNIT``; of the strongest wave the logarithm to base 2 of
            its cycles a side in ``CYCLES_UNIT``, and cosine and sine of its doubled orientation in ``TURN_UNIT``.
    """

    features: Features
    scores: Tensor
    told: Tensor

    @property
    def levels(self) -> Tensor:
        """Standard deviation of grain, density of impulses and so on, float (batch, levels), 0..1."""
        return (self.told[:, : -len(WAVE_NUMBERS)] * LEVEL_UNIT).clamp(0, 1)

    @property
    def wave(self) -> Tensor:
        """The strongest wave, float (batch, 3): amplitude 0..1, cycles down and cycles across the picture.

        Cycles across are not negative; the amplitude is that of one wave with the power of all.
        """
        rms, cycles, cosine, sine = self.told[:, -len(WAVE_NUMBERS) :].unbind(dim=1)
        amplitude = 2**0.5 * (rms * LEVEL_UNIT).clamp(0, 1)
        cycles = torch.exp2((CYCLES_UNIT * cycles).clamp(max=_MOST_CYCLES))
        cosine = cosine / (cosine.square() + sine.square()).sqrt().clamp(min=1e-6)
        across, down = (((1 + sign * cosine) / 2).clamp(min=0).sqrt() for sign in (1, -1))  # of half the angle
        return torch.stack([amplitude, cycles * torch.where(sine < 0, -down, down), cycles * across], dim=1)


class Glance(nn.Module):
    """The network.

    Args:
        backbone: what it begins as, but for some blocks; left as it is.
        noise_types: the classes of noise, in the order of the outputs.
    """

    def __init__(self, backbone: Backbone, noise_types: Sequence[NoiseType] = tuple(NoiseType)) -> None:
        super().__init__()
        self.noise_types = tuple(noise_types)
        self.backbone = backbone.shortened(BLOCKS).requires_grad_(True)
        seen = self.backbone.level_channels + STATISTICS
        self.noise = nn.Sequential(
            nn.LayerNorm(seen),
            nn.Linear(seen, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, conditioning_size(noise_types) + len(WAVE_NUMBERS)),
        )

    def forward(self, small: Tensor, about: Tensor) -> Glimpse:
        """Look.

        Args:
            small: float (batch, 1 or 3, height, width) in 0..1, pictures as ``fit_into`` shrinks them.
            about: float (batch, ``STATISTICS``), see ``about_noise``.
        """
        levels = self.backbone.levels(small)
        # As pooling, not as means of two axes: ONNX Runtime would bring these into another layout first.
        means = [functional.avg_pool2d(level, level.shape[-2:]).flatten(1) for level in levels]
        said = self.noise(torch.cat([*means, about], dim=1))
        features = Features(fine=levels[-2], coarse=levels[-1])
        return Glimpse(features, said[:, : len(self.noise_types)], said[:, len(self.noise_types) :])


class Glanced(NamedTuple):
    """What a ``GlancingJudge`` says of pictures."""

    judgement: Judgement
    glimpse: Glimpse


class GlancingJudge(nn.Module):
    """Glance and judge as one network, from noisy pictures to verdicts.

    Args:
        glance, judge: fitted.
        shape: (height, width) in pixels that pictures are brought to.
    """

    def __init__(self, glance: Glance, judge: Judge, shape: tuple[int, int]) -> None:
        super().__init__()
        self.glance = glance
        self.judge = judge
        self.shape = shape

    def forward(self, pictures: Tensor) -> Glanced:
        """Judge uint8 pictures (batch, 1 or 3, height, width), of any size."""
        glimpse = self.glance(fit_into(pictures.float(), self.shape) / 255, about_noise(pictures))
        return Glanced(Judgement(*self.judge(glimpse.features)), glimpse)


def fit_into(pictures: Tensor, shape: tuple[int, int]) -> Tensor:
    """Float (batch, depth, h, w) to (batch, depth, *shape), linearly, each pixel a weighted mean of what it covers."""
    return functional.interpolate(pictures, size=shape, mode="bilinear", antialias=True, align_corners=False)


def about_noise(pictures: Tensor) -> Tensor:
    """What pixels tell of noise at full size: float (batch, ``STATISTICS``) from (batch, 1 or 3, h, w) in 0..255."""
    return statistics(luma(windows(pictures, _WINDOW).float() / 255))


def glance_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """(height, width) in pixels at which pictures of a shape are looked at: in proportion, and hardly ever larger.

    Args:
        shape: of the pictures.
        side: pixels of the longer side of what is looked at, if the picture has as many.

    >>> glance_shape((512, 512), 160), glance_shape((300, 1024), 160), glance_shape((100, 100), 160)
    ((160, 160), (64, 160), (96, 96))
    """
    scale = min(1.0, side / max(shape))
    height, width = (max(2, round(scale * side / _MULTIPLE)) * _MULTIPLE for side in shape)
    return height, width
