"""Shrink and enlarge pictures by products with small matrices, so that any size runs, learns and exports alike."""

import math

import torch
from torch import Tensor

Window = tuple[slice, slice]  # of rows and columns

_BAND = 8  # rows of a small picture, at most, that one product makes


def shrink(pictures: Tensor, height: int, width: int) -> Tensor:
    """Average over equal areas: float (batch, channels, h, w) to (batch, channels, height, width).

    Each cell of the small picture is the mean of what it covers, with shares of pixels at its border; so it is exact
    for any h and w, also for smaller ones than ``height`` and ``width``. Both are scaled apart.
    """
    rows, down = _bands(pictures.shape[-2], height, math.gcd(height, _BAND), pictures)
    bands = pictures.index_select(-2, rows.flatten()).reshape(*pictures.shape[:-2], *rows.shape, pictures.shape[-1])
    shorter = (down @ bands).flatten(-3, -2)  # by bands, since most shares of the whole are 0
    return shorter @ area(pictures.shape[-1], width, pictures).T


def enlarge(small: Tensor, height: int, width: int, window: Window | None = None) -> Tensor:
    """Cubic interpolation: float (batch, channels, h, w) to (batch, channels, height, width), or a window of that.

    Beyond the border the nearest values within count.
    """
    rows, columns = window or (slice(None), slice(None))
    down = cubic(small.shape[-2], height, torch.arange(height, device=small.device)[rows], small)
    across = cubic(small.shape[-1], width, torch.arange(width, device=small.device)[columns], small)
    return down @ small @ across.T


def area(size: int, side: int, like: Tensor) -> Tensor:
    """(side, size): which share of cell i each pixel j fills; rows add up to 1."""
    return _bands(size, side, side, like)[1][0, :, :size]


def cubic(size: int, large: int | Tensor, pixels: Tensor, like: Tensor) -> Tensor:
    """What enlarges ``size`` pixels to ``large`` ones by a product, as far as some of these are wanted.

    The kernel is that of Keys, "Cubic convolution interpolation" (1981), with a = -1/2, which reproduces parabolas. It
    is written as what it is from 2 pixels on inwards, and what is added from 1 pixel on.

    Args:
        size: pixels a side of the small picture.
        large: pixels a side of the large one; in exported graphs maybe a tensor.
        pixels: which of the large picture's rows or columns are wanted, int64 (n,).
        like: has the dtype and device.

    Returns:
        (n, size): the weight of each small pixel in each large one; rows add up to 1.
    """
    places = (pixels.to(like.dtype) + 0.5) * (size / large) - 0.5
    distance = (places.clamp(0, size - 1)[:, None] - torch.arange(size, dtype=like.dtype, device=like.device)).abs()
    far, near = (2 - distance).clamp(min=0), (1 - distance).clamp(min=0)
    weights = far * far * (far - 1) / 2 + near * near * (1 - 2 * near)
    return weights / weights.sum(dim=1, keepdim=True)


def _bands(size: int, side: int, band: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Which pixels fill which share of each of ``side`` cells of equal length, by bands of ``band`` cells.

    Returns:
        int64 (bands, n), the pixels that each band needs; and (bands, band, n), their shares. Where there are more
        than needed, their shares are 0.
    """
    first = torch.arange(0, side, band, device=like.device)[:, None]
    length = (size * band + side - 1) // side + 1
    pixels = first * size // side + torch.arange(length, device=like.device)
    edges = (first + torch.arange(band + 1, device=like.device)).to(like.dtype) * (size / side)
    begin, end = pixels[:, None].to(like.dtype), pixels[:, None].to(like.dtype) + 1
    filled = torch.minimum(edges[:, 1:, None], end) - torch.maximum(edges[:, :-1, None], begin)
    return pixels.clamp(max=size - 1), filled.clamp(min=0) * (side / size)
