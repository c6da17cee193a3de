"""Shrink and enlarge pictures by products with small matrices, so that any size runs, learns and exports alike."""

import torch
from torch import Tensor

Window = tuple[slice, slice]  # of rows and columns

_KEYS = -0.5  # Keys, "Cubic convolution interpolation" (1981): this value reproduces parabolas


def shrink(pictures: Tensor, height: int, width: int) -> Tensor:
    """Average over equal areas: float (batch, channels, h, w) to (batch, channels, height, width).

    Each cell of the small picture is the mean of what it covers, with shares of pixels at its border; so it is exact
    for any h and w, also for smaller ones than ``height`` and ``width``. Both are scaled apart.
    """
    down = area(pictures.shape[-2], height, pictures)
    across = area(pictures.shape[-1], width, pictures)
    return down @ pictures @ across.T


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
    edges = torch.arange(side + 1, dtype=like.dtype, device=like.device) * (size / side)
    pixels = torch.arange(size, dtype=like.dtype, device=like.device)
    upper = torch.minimum(edges[1:, None], pixels + 1)
    lower = torch.maximum(edges[:-1, None], pixels)
    return (upper - lower).clamp(min=0) * (side / size)


def cubic(size: int, large: int | Tensor, pixels: Tensor, like: Tensor) -> Tensor:
    """What enlarges ``size`` pixels to ``large`` ones by a product, as far as some of these are wanted.

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
    near = ((_KEYS + 2) * distance - (_KEYS + 3)) * distance * distance + 1
    far = ((_KEYS * distance - 5 * _KEYS) * distance + 8 * _KEYS) * distance - 4 * _KEYS
    weights = torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))
    return weights / weights.sum(dim=1, keepdim=True)
