"""Tiled inference: denoise one image of any size in tiles that bound the memory and leave no seam."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clearcast.errors import ModelOutputError
from clearcast.imaging import Picture
from clearcast.models.clear.blocks import luma
from clearcast.models.clear.resample import Window
from clearcast.models.clear.restorer import STRIDE, Restorer, Seen, enlarge_seen

TILE = 1024  # pixels a side
HALO = 64  # pixels around a tile that its denoised pixels can depend on, rounded up to a multiple of STRIDE
SMALLEST = 16  # pixels a side; smaller images show too little


@torch.inference_mode()
def restore(
    restorer: Restorer, image: Picture, *, noise: tuple[Tensor, Tensor] | None = None, tile: int = TILE
) -> tuple[Picture, Seen]:
    """Denoise an image; in tiles the result is the same as in one piece.

    Args:
        restorer: fitted, in evaluation mode, for images of this depth.
        image: uint8 (height, width), or (height, width, 3) if the denoiser is one for colour.
        noise: scores of the noise types and noise levels, as in ``Seen``, if another network estimated them.
        tile: the largest side that is denoised at once, in pixels; a multiple of ``STRIDE``.

    Returns:
        The denoised image, uint8 of the same shape, and the global context: the estimated, or given, noise.

    Raises:
        ModelOutputError: a denoised pixel is not finite.
    """
    device = next(restorer.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)
    noisy = pixels.reshape(*image.shape[:2], -1).permute(2, 0, 1)[None]  # (1, depth, height, width)
    context: Seen = restorer.global_encoder(luma(noisy.float() / 255))
    if noise is not None:
        context = context._replace(scores=noise[0].to(device), levels=noise[1].to(device))
    denoised = torch.empty_like(noisy)
    height, width = image.shape[:2]
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            _denoise_tile(restorer, noisy, denoised, context, (_span(top, tile, height), _span(left, tile, width)))
    return denoised[0].permute(1, 2, 0).reshape(image.shape).cpu().numpy(), context


def _denoise_tile(restorer: Restorer, noisy: Tensor, denoised: Tensor, context: Seen, tile: Window) -> None:
    """Denoise a tile with its halo and write its pixels, as uint8, into ``denoised``."""
    height, width = noisy.shape[-2:]
    rows, columns = _with_halo(tile[0], height), _with_halo(tile[1], width)
    waves, small = enlarge_seen(context, height, width, (rows, columns))
    window = noisy[..., rows, columns].float() / 255
    padding = (0, -window.shape[-1] % STRIDE, 0, -window.shape[-2] % STRIDE)
    window, waves, small = (functional.pad(each, padding, mode="replicate") for each in (window, waves, small))
    output = restorer.detail(window, waves, small, context.conditioning)
    inner = output[..., tile[0].start - rows.start :, tile[1].start - columns.start :]
    inner = inner[..., : tile[0].stop - tile[0].start, : tile[1].stop - tile[1].start]
    if not bool(inner.isfinite().all()):  # converted to bytes, they would look like an image
        raise ModelOutputError("denoised pixels: expected finite numbers; the denoiser cannot be used: train it again")
    denoised[..., tile[0], tile[1]] = inner.clamp(0, 1).mul(255).round().to(torch.uint8)


def _span(start: int, length: int, end: int) -> slice:
    return slice(start, min(start + length, end))


def _with_halo(span: slice, end: int) -> slice:
    return slice(max(0, span.start - HALO), min(span.stop + HALO, end))
