"""The denoiser of recipe ``clear``: a global encoder for periodic noise and noise levels, and a detail U-Net."""

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
from clearcast.models.renamed_weights import accept_renamed_weights

STRIDE = 8  # the detail U-Net takes heights and widths that are multiples of this
_BASES = 3


class Build(NamedTuple):
    """Configuration of the detail U-Net.

    Attributes:
        channels: of its three levels, at cells of 2 x 2, 4 x 4 and 8 x 8 pixels.
        reach: kernel size in pixels of the first convolution and of the residual head; even.
        weighing: kernel size in cells of the mix head; odd.
    """

    channels: tuple[int, int, int]
    reach: int
    weighing: int


THOROUGH = Build(channels=(16, 32, 48), reach=6, weighing=3)
SLIM = Build(channels=(8, 16, 32), reach=4, weighing=1)  # takes half the time


class Seen(NamedTuple):
    """Output of the global encoder, which the detail U-Net is conditioned on.

    Attributes:
        waves, small: periodic noise and denoised thumbnail; see ``WaveFinder``.
        scores, levels: noise type scores and noise levels; see ``NoiseSense``.
    """

    waves: Tensor
    small: Tensor
    scores: Tensor
    levels: Tensor

    @property
    def conditioning(self) -> Tensor:
        """The conditioning vector of the detail U-Net; see ``about_of``."""
        return about_of(self.scores, self.levels)


def about_of(scores: Tensor, levels: Tensor) -> Tensor:
    """Compute the conditioning vector: noise type probabilities and noise levels, float (batch, types + levels).

    Args:
        scores: float (batch, types); see ``NoiseSense``.
        levels: float (batch, levels); see ``NoiseSense``.
    """
    return torch.cat([scores.softmax(dim=1), levels / LEVEL_UNIT], dim=1)


class Survey(nn.Module):
    """Global encoder: estimates noise type, noise levels and periodic noise from the whole grey image."""

    def __init__(self, noise_types: Sequence[NoiseType] = tuple(NoiseType)) -> None:
        super().__init__()
        self.periodic_head = WaveFinder()
        self.noise_head = NoiseSense(self.periodic_head.features, noise_types)
        accept_renamed_weights(self, {"finder": "periodic_head", "sense": "noise_head"})

    def forward(self, noisy: Tensor) -> Seen:
        """Encode noisy images, float (batch, 1, height, width) in 0..1, of any height and width."""
        waves, small, features = self.periodic_head(noisy)
        return Seen(waves, small, *self.noise_head(noisy, waves, features))


class Detail(nn.Module):
    """Detail U-Net: denoises the image at full resolution, conditioned on the output of the global encoder.

    A U-Net (Ronneberger et al. 2015) on cells of 2 x 2 pixels without normalisation. Its mix head blends three base
    images: the noisy image with impulses filled and periodic noise subtracted, the median of that, and the enlarged
    denoised thumbnail. Its residual head adds a correction. The conditioning vector scales and shifts the features of
    each level (FiLM, Perez et al. 2018).

    Args:
        depth: 1 for grey images, 3 for colour.
        build: its size.
        conditioning: length of the conditioning vector.
    """

    def __init__(
        self, depth: int = 1, build: Build = THOROUGH, *, conditioning: int = conditioning_size(tuple(NoiseType))
    ) -> None:
        super().__init__()
        self.depth = depth
        (top, middle, bottom), reach = build.channels, build.reach
        self.input_conv = nn.Conv2d(4 * depth, top, reach, stride=2, padding=reach // 2 - 1)
        self.hint_conv = nn.Conv2d(2, top, 3, padding=1, bias=False)
        self.to_middle = nn.Conv2d(top, middle, 2, stride=2)
        self.middle_in = Residual(middle)
        self.to_bottom = nn.Conv2d(middle, bottom, 2, stride=2)
        self.bottom = nn.Sequential(Residual(bottom), Residual(bottom))
        self.from_bottom = nn.ConvTranspose2d(bottom, middle, 2, stride=2)
        self.middle_out = Residual(middle)
        self.from_middle = nn.ConvTranspose2d(middle, top, 2, stride=2)
        self.top_out = Residual(top)
        self.residual_head = nn.ConvTranspose2d(top, depth, reach, stride=2, padding=reach // 2 - 1)
        self.mix_head = nn.Conv2d(top, _BASES, build.weighing, padding=build.weighing // 2)
        self.film = nn.ModuleList(nn.Linear(conditioning, 2 * width) for width in build.channels)
        for head in (self.residual_head, self.mix_head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(torch.as_tensor(head.bias))
        accept_renamed_weights(
            self,
            {
                "enter": "input_conv",
                "hear": "hint_conv",
                "correct": "residual_head",
                "weigh": "mix_head",
                "told": "film",
            },
        )

    def forward(self, noisy: Tensor, waves: Tensor, small: Tensor, conditioning: Tensor) -> Tensor:
        """Denoise images.

        Args:
            noisy: uint8, or float in 0..1, (batch, depth, height, width); height and width multiples of ``STRIDE``.
            waves: the periodic noise at the same size, float (batch, 1, height, width).
            small: the denoised thumbnail enlarged to the same size, float (batch, 1, height, width).
            conditioning: float (batch, types + levels); see ``about_of``.

        Returns:
            Float (batch, depth, height, width), about 0..1, not clipped.
        """
        filled, kept = fill(noisy)
        middling = median3(filled) - waves
        bases = [filled - waves, middling, small + (middling - luma(middling)) if self.depth > 1 else small]
        residual, scores = self._unet([to_unit(noisy), *bases[:2], kept], [waves, small], conditioning)
        denoised = residual  # (batch, depth, height, width)
        for base, weight in zip(bases, _softmax(scores.chunk(_BASES, dim=1)), strict=True):
            denoised = denoised + base * functional.interpolate(weight, scale_factor=2.0, mode="nearest")
        return denoised

    def _unet(self, inputs: list[Tensor], hints: list[Tensor], conditioning: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the residual (batch, depth, height, width) and the scores of the bases at half the size."""
        halved = functional.avg_pool2d(torch.cat(hints, dim=1), 2)  # (batch, 2, height / 2, width / 2)
        cells = self.input_conv(torch.cat(inputs, dim=1)) + self.hint_conv(halved)
        top = self._modulate(0, functional.relu(cells), conditioning)  # (batch, top, height / 2, width / 2)
        middle = self._modulate(1, self.middle_in(self.to_middle(top)), conditioning)  # (..., height / 4, width / 4)
        bottom = self.bottom(self._modulate(2, self.to_bottom(middle), conditioning))  # (..., height / 8, width / 8)
        middle = self.middle_out(middle + self.from_bottom(bottom))
        top = self.top_out(top + self.from_middle(middle))
        return self.residual_head(top), self.mix_head(top)

    def _modulate(self, level: int, features: Tensor, conditioning: Tensor) -> Tensor:
        """Scale and shift the features of a level (FiLM)."""
        parameters: Tensor = self.film[level](conditioning)
        scale, shift = parameters[:, :, None, None].chunk(2, dim=1)
        return features * (1 + scale) + shift


def _softmax(scores: Sequence[Tensor]) -> list[Tensor]:
    """Softmax over a few tensors; exported graphs run these steps faster than a softmax of the channel axis."""
    highest = reduce(torch.maximum, scores)
    powers = [(each - highest).exp() for each in scores]
    total = reduce(torch.add, powers)
    return [each / total for each in powers]


class Restorer(nn.Module):
    """Denoiser: global encoder and detail U-Net as one network.

    Args:
        depth: 1 for grey images, 3 for colour.
        build: of the detail U-Net.
        noise_types: the classes of the noise head, in the order of its outputs.
    """

    def __init__(
        self, depth: int = 1, build: Build = THOROUGH, noise_types: Sequence[NoiseType] = tuple(NoiseType)
    ) -> None:
        super().__init__()
        self.global_encoder = Survey(noise_types)
        self.detail = Detail(depth, build, conditioning=conditioning_size(noise_types))
        accept_renamed_weights(self, {"survey": "global_encoder"})

    @property
    def noise_types(self) -> tuple[NoiseType, ...]:
        """The classes of the noise head, in the order of its outputs."""
        return self.global_encoder.noise_head.noise_types

    def forward(self, noisy: Tensor) -> tuple[Tensor, Seen]:
        """Denoise images, float (batch, depth, height, width) in 0..1, of any height and width.

        Returns:
            The denoised images, float in 0..1 of the same shape, and the output of the global encoder.
        """
        height, width = noisy.shape[-2:]
        context: Seen = self.global_encoder(luma(noisy))
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        inputs = (noisy, *enlarge_seen(context, height, width))
        padded = (functional.pad(each, padding, mode="replicate") for each in inputs)
        denoised: Tensor = self.detail(*padded, context.conditioning)
        return denoised[..., :height, :width].clamp(0, 1), context


def enlarge_seen(context: Seen, height: int, width: int, window: Window | None = None) -> tuple[Tensor, Tensor]:
    """Enlarge periodic noise and denoised thumbnail to the image's size, or a window of it.

    Returns:
        Two tensors, float (batch, 1, height, width).
    """
    both = enlarge(torch.cat([context.waves, context.small], dim=1), height, width, window)
    return both[:, :1], both[:, 1:]
