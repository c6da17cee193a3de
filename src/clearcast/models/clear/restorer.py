"""Gives the noise-free picture back: waves from a small picture, grain and impulses on the whole one."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.domain import NoiseType
from clearcast.models.clear.blocks import Residual, fill, luma, median3, to_unit
from clearcast.models.clear.resample import Window, enlarge
from clearcast.models.clear.sense import LEVEL_UNIT, NoiseSense, conditioning_size
from clearcast.models.clear.waves import WaveFinder

STRIDE = 8  # height and width of what the detail network sees are multiples of this
_BASES = 3


class Build(NamedTuple):
    """How a detail network is built.

    Attributes:
        channels: at cells of 2 x 2, 4 x 4 and 8 x 8 pixels.
        reach: pixels a side of what each cell of 2 x 2 is made of, and is corrected with; even.
        weighing: cells a side that weigh the bases; odd.
    """

    channels: tuple[int, int, int]
    reach: int
    weighing: int


THOROUGH = Build(channels=(16, 32, 48), reach=6, weighing=3)
SLIM = Build(channels=(8, 16, 32), reach=4, weighing=1)  # half of the time


class Seen(NamedTuple):
    """What is known of a picture before its details are restored.

    Attributes:
        waves, small: see ``WaveFinder``.
        scores, levels: see ``NoiseSense``.
    """

    waves: Tensor
    small: Tensor
    scores: Tensor
    levels: Tensor

    @property
    def about(self) -> Tensor:
        """See ``about_of``."""
        return about_of(self.scores, self.levels)


def about_of(scores: Tensor, levels: Tensor) -> Tensor:
    """Conditioning vector of the detail network: noise types' probabilities and levels, float (batch, types + levels).

    Args:
        scores: float (batch, types), see ``NoiseSense``.
        levels: float (batch, levels), likewise.
    """
    return torch.cat([scores.softmax(dim=1), levels / LEVEL_UNIT], dim=1)


class Survey(nn.Module):
    """Looks at the whole picture, in grey: which noise, how strong, which waves."""

    def __init__(self, noise_types: Sequence[NoiseType] = tuple(NoiseType)) -> None:
        super().__init__()
        self.finder = WaveFinder()
        self.sense = NoiseSense(self.finder.features, noise_types)

    def forward(self, noisy: Tensor) -> Seen:
        """Float (batch, 1, height, width) in 0..1, any height and width."""
        waves, small, whole = self.finder(noisy)
        return Seen(waves, small, *self.sense(noisy, waves, whole))


class Detail(nn.Module):
    """Restores the picture at its full size, given what the survey saw.

    A U-Net on cells of 2 x 2 pixels. It weighs three bases (impulses filled and waves subtracted; the median of that;
    the small picture enlarged) and adds a correction. The survey's findings shift and scale the features of each level
    (Perez et al. 2018, FiLM).

    Args:
        depth: 1 for grey pictures, 3 for colour.
        build: how large it is.
        conditioning: the length of ``about``.
    """

    def __init__(
        self, depth: int = 1, build: Build = THOROUGH, *, conditioning: int = conditioning_size(tuple(NoiseType))
    ) -> None:
        super().__init__()
        self.depth = depth
        (top, middle, bottom), reach = build.channels, build.reach
        self.enter = nn.Conv2d(4 * depth, top, reach, stride=2, padding=reach // 2 - 1)
        self.hear = nn.Conv2d(2, top, 3, padding=1, bias=False)
        self.to_middle = nn.Conv2d(top, middle, 2, stride=2)
        self.middle_in = Residual(middle)
        self.to_bottom = nn.Conv2d(middle, bottom, 2, stride=2)
        self.bottom = nn.Sequential(Residual(bottom), Residual(bottom))
        self.from_bottom = nn.ConvTranspose2d(bottom, middle, 2, stride=2)
        self.middle_out = Residual(middle)
        self.from_middle = nn.ConvTranspose2d(middle, top, 2, stride=2)
        self.top_out = Residual(top)
        self.correct = nn.ConvTranspose2d(top, depth, reach, stride=2, padding=reach // 2 - 1)
        self.weigh = nn.Conv2d(top, _BASES, build.weighing, padding=build.weighing // 2)
        self.told = nn.ModuleList(nn.Linear(conditioning, 2 * width) for width in build.channels)
        for last in (self.correct, self.weigh):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(torch.as_tensor(last.bias))

    def forward(self, noisy: Tensor, waves: Tensor, small: Tensor, about: Tensor) -> Tensor:
        """Restore.

        Args:
            noisy: uint8, or float in 0..1, (batch, depth, height, width); height and width multiples of ``STRIDE``.
            waves: the waves at the same size, float (batch, 1, height, width).
            small: the small noise-free picture at the same size, float (batch, 1, height, width).
            about: float (batch, types + levels), see ``about_of``.

        Returns:
            Float (batch, depth, height, width), about 0..1, not clipped.
        """
        filled, kept = fill(noisy)
        middling = median3(filled) - waves
        bases = [filled - waves, middling, small + (middling - luma(middling)) if self.depth > 1 else small]
        corrections, weights = self._network([to_unit(noisy), *bases[:2], kept], [waves, small], about)
        restored = corrections
        for base, weight in zip(bases, _softmax(weights.chunk(_BASES, dim=1)), strict=True):
            restored = restored + base * functional.interpolate(weight, scale_factor=2.0, mode="nearest")
        return restored

    def _network(self, pictures: list[Tensor], hints: list[Tensor], about: Tensor) -> tuple[Tensor, Tensor]:
        halves = functional.avg_pool2d(torch.cat(hints, dim=1), 2)
        cells = self.enter(torch.cat(pictures, dim=1)) + self.hear(halves)
        top = self._tell(0, functional.relu(cells), about)
        middle = self._tell(1, self.middle_in(self.to_middle(top)), about)
        bottom = self.bottom(self._tell(2, self.to_bottom(middle), about))
        middle = self.middle_out(middle + self.from_bottom(bottom))
        top = self.top_out(top + self.from_middle(middle))
        return self.correct(top), self.weigh(top)

    def _tell(self, level: int, features: Tensor, about: Tensor) -> Tensor:
        told: Tensor = self.told[level](about)
        scale, shift = told[:, :, None, None].chunk(2, dim=1)
        return features * (1 + scale) + shift


def _softmax(scores: Sequence[Tensor]) -> list[Tensor]:
    """Over a few tensors; exported graphs run these steps faster than a softmax, or sums, of the axis of channels."""
    highest = reduce(torch.maximum, scores)
    powers = [(each - highest).exp() for each in scores]
    whole = reduce(torch.add, powers)
    return [each / whole for each in powers]


class Restorer(nn.Module):
    """Survey and detail network: from noisy pictures to restored ones, and what was seen of their noise.

    Args:
        depth: 1 for grey pictures, 3 for colour.
        build: of the detail network.
        noise_types: the classes of the noise head, in the order of its outputs.
    """

    def __init__(
        self, depth: int = 1, build: Build = THOROUGH, noise_types: Sequence[NoiseType] = tuple(NoiseType)
    ) -> None:
        super().__init__()
        self.survey = Survey(noise_types)
        self.detail = Detail(depth, build, conditioning=conditioning_size(noise_types))

    @property
    def noise_types(self) -> tuple[NoiseType, ...]:
        """The classes of the noise head, in the order of its outputs."""
        return self.survey.sense.noise_types

    def forward(self, noisy: Tensor) -> tuple[Tensor, Seen]:
        """Float (batch, depth, height, width) in 0..1, any height and width; restored within 0..1, of that shape."""
        height, width = noisy.shape[-2:]
        seen: Seen = self.survey(luma(noisy))
        short = (0, -width % STRIDE, 0, -height % STRIDE)
        whole = (functional.pad(m, short, mode="replicate") for m in (noisy, *enlarge_seen(seen, height, width)))
        restored: Tensor = self.detail(*whole, seen.about)
        return restored[..., :height, :width].clamp(0, 1), seen


def enlarge_seen(seen: Seen, height: int, width: int, window: Window | None = None) -> tuple[Tensor, Tensor]:
    """Waves and small picture at the picture's size or a window of it, each float (batch, 1, height, width)."""
    both = enlarge(torch.cat([seen.waves, seen.small], dim=1), height, width, window)
    return both[:, :1], both[:, 1:]
