"""Denoiser of recipe ``clear``: global encoder, detail U-Net, both as one network, and denoising in tiles.

The global encoder estimates periodic noise and noise levels from the whole image. The detail U-Net denoises at full
resolution, conditioned on them.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import ModelOutputError
from clearcast.nn.blocks import (
    PixelWindow,
    ResidualBlock,
    fill_impulses,
    median_filter_3x3,
    resize_cubic,
    to_luma,
    to_unit_range,
    zero_initialise,
)
from clearcast.nn.noise_heads import NOISE_LEVEL_SCALE, NoiseHead, PeriodicNoiseHead, conditioning_size
from clearcast.nn.weights import accept_renamed_weights
from clearcast.noise.estimation import NoiseEstimate, to_noise_estimate
from clearcast.noise.registry import NoiseType

DETAIL_STRIDE = 8  # the detail U-Net takes heights and widths that are multiples of this
_TILE_SIDE = 1024  # pixels a side
_TILE_HALO = (
    64  # pixels around a tile that its denoised pixels can depend on, rounded up to a multiple of DETAIL_STRIDE
)
SMALLEST_IMAGE_SIDE = 16  # pixels a side; smaller images show too little
_BASES = 3  # images that the mix head blends
_EARLIER_DETAIL_NAMES = {
    "enter": "input_conv",
    "hear": "hint_conv",
    "correct": "residual_head",
    "weigh": "mix_head",
    "told": "film",
}


class DetailConfig(NamedTuple):
    """Configuration of the detail U-Net.

    Attributes:
        channels: of its three levels, at cells of 2 x 2, 4 x 4 and 8 x 8 pixels.
        kernel_size: kernel size in pixels of the first convolution and of the residual head; even.
        mix_kernel_size: kernel size in cells of the mix head; odd.
    """

    channels: tuple[int, int, int]
    kernel_size: int
    mix_kernel_size: int


FULL_DETAIL = DetailConfig(channels=(16, 32, 48), kernel_size=6, mix_kernel_size=3)
SMALL_DETAIL = DetailConfig(channels=(8, 16, 32), kernel_size=4, mix_kernel_size=1)  # takes half the time


class GlobalContext(NamedTuple):
    """Output of the global encoder, which the detail U-Net is conditioned on.

    Attributes:
        waves, thumbnail: periodic noise and denoised thumbnail; see ``PeriodicNoiseHead``.
        scores, levels: noise type scores and noise levels; see ``NoiseHead``.
    """

    waves: Tensor
    thumbnail: Tensor
    scores: Tensor
    levels: Tensor

    @property
    def conditioning(self) -> Tensor:
        """The conditioning vector of the detail U-Net; see ``conditioning_vector``."""
        return conditioning_vector(self.scores, self.levels)


def conditioning_vector(scores: Tensor, levels: Tensor) -> Tensor:
    """Compute the conditioning vector: noise type probabilities and noise levels, float (batch, types + levels).

    Args:
        scores: float (batch, types); see ``NoiseHead``.
        levels: float (batch, levels); see ``NoiseHead``.
    """
    return torch.cat([scores.softmax(dim=1), levels / NOISE_LEVEL_SCALE], dim=1)


class GlobalEncoder(nn.Module):
    """Global encoder: estimates noise type, noise levels and periodic noise from the whole grey image."""

    def __init__(self, noise_types: Sequence[NoiseType] = tuple(NoiseType)) -> None:
        super().__init__()
        self.periodic_head = PeriodicNoiseHead()
        self.noise_head = NoiseHead(self.periodic_head.feature_count, noise_types)
        accept_renamed_weights(self, {"finder": "periodic_head", "sense": "noise_head"})

    def forward(self, noisy: Tensor) -> GlobalContext:
        """Encode noisy images, float (batch, 1, height, width) in 0..1, of any height and width."""
        waves, thumbnail, features = self.periodic_head(noisy)
        return GlobalContext(waves, thumbnail, *self.noise_head(noisy, waves, features))


class DetailUNet(nn.Module):
    """Detail U-Net: denoises the image at full resolution, conditioned on the output of the global encoder.

    A U-Net (Ronneberger et al. 2015) on cells of 2 x 2 pixels without normalisation. Its mix head blends three base
    images: the noisy image with impulses filled and periodic noise subtracted, the median of that, and the enlarged
    denoised thumbnail. Its residual head adds a correction. The conditioning vector scales and shifts the features of
    each level (FiLM, Perez et al. 2018).

    Args:
        depth: 1 for grey images, 3 for colour.
        config: its configuration.
        conditioning: length of the conditioning vector.
    """

    def __init__(
        self,
        depth: int = 1,
        config: DetailConfig = FULL_DETAIL,
        *,
        conditioning: int = conditioning_size(tuple(NoiseType)),
    ) -> None:
        super().__init__()
        self.depth = depth
        (top, middle, bottom), kernel_size = config.channels, config.kernel_size
        self.input_conv = nn.Conv2d(4 * depth, top, kernel_size, stride=2, padding=kernel_size // 2 - 1)
        self.hint_conv = nn.Conv2d(2, top, 3, padding=1, bias=False)
        self.to_middle = nn.Conv2d(top, middle, 2, stride=2)
        self.middle_in = ResidualBlock(middle)
        self.to_bottom = nn.Conv2d(middle, bottom, 2, stride=2)
        self.bottom = nn.Sequential(ResidualBlock(bottom), ResidualBlock(bottom))
        self.from_bottom = nn.ConvTranspose2d(bottom, middle, 2, stride=2)
        self.middle_out = ResidualBlock(middle)
        self.from_middle = nn.ConvTranspose2d(middle, top, 2, stride=2)
        self.top_out = ResidualBlock(top)
        self.residual_head = nn.ConvTranspose2d(top, depth, kernel_size, stride=2, padding=kernel_size // 2 - 1)
        self.mix_head = nn.Conv2d(top, _BASES, config.mix_kernel_size, padding=config.mix_kernel_size // 2)
        self.film = nn.ModuleList(nn.Linear(conditioning, 2 * width) for width in config.channels)
        zero_initialise(self.residual_head)
        zero_initialise(self.mix_head)
        accept_renamed_weights(self, _EARLIER_DETAIL_NAMES)

    def forward(self, noisy: Tensor, waves: Tensor, thumbnail: Tensor, conditioning: Tensor) -> Tensor:
        """Denoise images.

        Args:
            noisy: uint8, or float in 0..1, (batch, depth, height, width); height and width multiples of
                ``DETAIL_STRIDE``.
            waves: the periodic noise at the same size, float (batch, 1, height, width).
            thumbnail: the denoised thumbnail enlarged to the same size, float (batch, 1, height, width).
            conditioning: float (batch, types + levels); see ``conditioning_vector``.

        Returns:
            Float (batch, depth, height, width), about 0..1, not clipped.
        """
        filled, kept = fill_impulses(noisy)
        median = median_filter_3x3(filled) - waves
        bases = [filled - waves, median, thumbnail + (median - to_luma(median)) if self.depth > 1 else thumbnail]
        residual, scores = self._unet([to_unit_range(noisy), *bases[:2], kept], [waves, thumbnail], conditioning)
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


class ClearDenoiser(nn.Module):
    """Denoiser: global encoder and detail U-Net as one network.

    Args:
        depth: 1 for grey images, 3 for colour.
        config: configuration of the detail U-Net.
        noise_types: the classes of the noise head, in the order of its outputs.
    """

    def __init__(
        self, depth: int = 1, config: DetailConfig = FULL_DETAIL, noise_types: Sequence[NoiseType] = tuple(NoiseType)
    ) -> None:
        super().__init__()
        self.global_encoder = GlobalEncoder(noise_types)
        self.detail = DetailUNet(depth, config, conditioning=conditioning_size(noise_types))
        accept_renamed_weights(self, {"survey": "global_encoder"})

    @property
    def noise_types(self) -> tuple[NoiseType, ...]:
        """The classes of the noise head, in the order of its outputs."""
        return self.global_encoder.noise_head.noise_types

    def forward(self, noisy: Tensor) -> tuple[Tensor, GlobalContext]:
        """Denoise images, float (batch, depth, height, width) in 0..1, of any height and width.

        Returns:
            The denoised images, float in 0..1 of the same shape, and the output of the global encoder.
        """
        height, width = noisy.shape[-2:]
        context: GlobalContext = self.global_encoder(to_luma(noisy))
        padding = (0, -width % DETAIL_STRIDE, 0, -height % DETAIL_STRIDE)
        inputs = (noisy, *enlarge_context(context, height, width))
        padded = (functional.pad(each, padding, mode="replicate") for each in inputs)
        denoised: Tensor = self.detail(*padded, context.conditioning)
        return denoised[..., :height, :width].clamp(0, 1), context


def enlarge_context(
    context: GlobalContext, height: int, width: int, window: PixelWindow | None = None
) -> tuple[Tensor, Tensor]:
    """Enlarge periodic noise and denoised thumbnail to the image's size, or a window of it.

    Returns:
        Two tensors, float (batch, 1, height, width).
    """
    enlarged = resize_cubic(torch.cat([context.waves, context.thumbnail], dim=1), height, width, window)
    return enlarged[:, :1], enlarged[:, 1:]


def describe_noise(
    context: GlobalContext, height: int, width: int, noise_types: Sequence[NoiseType] = tuple(NoiseType)
) -> NoiseEstimate:
    """Describe the noise of one image of (height, width) pixels; ``context`` must be of a batch of one.

    ``noise_types`` are the classes of the network.
    """
    probabilities = context.scores[0].softmax(dim=0).tolist()
    waves = np.asarray(context.waves[0, 0].cpu().numpy(), np.float32)
    return to_noise_estimate(probabilities, context.levels[0].tolist(), waves, height, width, noise_types)


@torch.inference_mode()
def denoise_tiled(
    denoiser: ClearDenoiser, image: ImageArray, *, noise: tuple[Tensor, Tensor] | None = None, tile: int = _TILE_SIDE
) -> tuple[ImageArray, GlobalContext]:
    """Denoise an image; in tiles the result is the same as in one piece.

    Args:
        denoiser: fitted, in evaluation mode, for images of this depth.
        image: uint8 (height, width), or (height, width, 3) if the denoiser is one for colour.
        noise: scores of the noise types and noise levels, as in ``GlobalContext``, if another network estimated them.
        tile: the largest side that is denoised at once, in pixels; a multiple of ``DETAIL_STRIDE``.

    Returns:
        The denoised image, uint8 of the same shape, and the global context: the estimated, or given, noise.

    Raises:
        ModelOutputError: a denoised pixel is not finite.
    """
    device = next(denoiser.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)
    noisy = pixels.reshape(*image.shape[:2], -1).permute(2, 0, 1)[None]  # (1, depth, height, width)
    context: GlobalContext = denoiser.global_encoder(to_luma(noisy.float() / 255))
    if noise is not None:
        context = context._replace(scores=noise[0].to(device), levels=noise[1].to(device))
    denoised = torch.empty_like(noisy)
    height, width = image.shape[:2]
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            _denoise_tile(denoiser, noisy, denoised, context, (_span(top, tile, height), _span(left, tile, width)))
    return denoised[0].permute(1, 2, 0).reshape(image.shape).cpu().numpy(), context


def _denoise_tile(
    denoiser: ClearDenoiser, noisy: Tensor, denoised: Tensor, context: GlobalContext, tile: PixelWindow
) -> None:
    """Denoise a tile with its halo and write its pixels, as uint8, into ``denoised``."""
    height, width = noisy.shape[-2:]
    rows, columns = _with_halo(tile[0], height), _with_halo(tile[1], width)
    waves, thumbnail = enlarge_context(context, height, width, (rows, columns))
    window = noisy[..., rows, columns].float() / 255
    padding = (0, -window.shape[-1] % DETAIL_STRIDE, 0, -window.shape[-2] % DETAIL_STRIDE)
    window, waves, thumbnail = (functional.pad(each, padding, mode="replicate") for each in (window, waves, thumbnail))
    output = denoiser.detail(window, waves, thumbnail, context.conditioning)
    inner = output[..., tile[0].start - rows.start :, tile[1].start - columns.start :]
    inner = inner[..., : tile[0].stop - tile[0].start, : tile[1].stop - tile[1].start]
    if not bool(inner.isfinite().all()):  # converted to bytes, they would look like an image
        raise ModelOutputError("denoised pixels: expected finite numbers; the denoiser cannot be used: train it again")
    denoised[..., tile[0], tile[1]] = inner.clamp(0, 1).mul(255).round().to(torch.uint8)


def _span(start: int, length: int, end: int) -> slice:
    return slice(start, min(start + length, end))


def _with_halo(span: slice, end: int) -> slice:
    return slice(max(0, span.start - _TILE_HALO), min(span.stop + _TILE_HALO, end))
