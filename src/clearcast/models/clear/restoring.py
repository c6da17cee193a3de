"""Restores one picture of any size, in tiles that bound the memory and leave no seam."""

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
HALO = 64  # pixels around a tile that its restored pixels can depend on, rounded up to a multiple of STRIDE
SMALLEST = 16  # pixels a side; below, there is nothing to look at


@torch.inference_mode()
def restore(
    restorer: Restorer, picture: Picture, *, noise: tuple[Tensor, Tensor] | None = None, tile: int = TILE
) -> tuple[Picture, Seen]:
    """Restore a picture; in tiles the result is the same as in one piece.

    Args:
        restorer: fitted, in evaluation mode, for pictures of this depth.
        picture: uint8 (height, width), or (height, width, 3) if the restorer is one for colour.
        noise: scores of the noise types and levels, as in ``Seen``, if somebody else tells them.
        tile: the largest side that is restored at once, in pixels; a multiple of ``STRIDE``.

    Returns:
        The restored picture, uint8 of the same shape, and what was seen, or told, of its noise.

    Raises:
        ModelOutputError: a restored pixel is not finite.
    """
    device = next(restorer.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(device)
    noisy = pixels.reshape(*picture.shape[:2], -1).permute(2, 0, 1)[None]
    seen: Seen = restorer.survey(luma(noisy.float() / 255))
    if noise is not None:
        seen = seen._replace(scores=noise[0].to(device), levels=noise[1].to(device))
    restored = torch.empty_like(noisy)
    height, width = picture.shape[:2]
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            _restore_tile(restorer, noisy, restored, seen, (_span(top, tile, height), _span(left, tile, width)))
    return restored[0].permute(1, 2, 0).reshape(picture.shape).cpu().numpy(), seen


def _restore_tile(restorer: Restorer, noisy: Tensor, restored: Tensor, seen: Seen, tile: Window) -> None:
    height, width = noisy.shape[-2:]
    rows, columns = _around(tile[0], height), _around(tile[1], width)
    waves, small = enlarge_seen(seen, height, width, (rows, columns))
    window = noisy[..., rows, columns].float() / 255
    short = (0, -window.shape[-1] % STRIDE, 0, -window.shape[-2] % STRIDE)
    window, waves, small = (functional.pad(m, short, mode="replicate") for m in (window, waves, small))
    details = restorer.detail(window, waves, small, seen.about)
    inner = details[..., tile[0].start - rows.start :, tile[1].start - columns.start :]
    inner = inner[..., : tile[0].stop - tile[0].start, : tile[1].stop - tile[1].start]
    if not bool(inner.isfinite().all()):  # as bytes they would look like a picture
        raise ModelOutputError("restored pixels: expected finite numbers; the restorer cannot be used: train it again")
    restored[..., tile[0], tile[1]] = inner.clamp(0, 1).mul(255).round().to(torch.uint8)


def _span(start: int, length: int, end: int) -> slice:
    return slice(start, min(start + length, end))


def _around(span: slice, end: int) -> slice:
    return slice(max(0, span.start - HALO), min(span.stop + HALO, end))
