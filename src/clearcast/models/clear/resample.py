"""Area downsampling and cubic upsampling as matrix products, so that every size trains and exports the same way."""

import math

import torch
from torch import Tensor

Window = tuple[slice, slice]  # of rows and columns

_BAND = 8  # rows of the small image, at most, that one product computes


def shrink(images: Tensor, height: int, width: int) -> Tensor:
    """Average over equal areas: float (batch, channels, h, w) to (batch, channels, height, width).

    Each output pixel is the mean of the area that it covers, with fractions of the pixels at its border. So the result
    is exact for any h and w, including sizes smaller than ``height`` and ``width``. The axes are scaled independently.
    """
    rows, down = _bands(images.shape[-2], height, math.gcd(height, _BAND), images)
    bands = images.index_select(-2, rows.flatten()).reshape(*images.shape[:-2], *rows.shape, images.shape[-1])
    shorter = (down @ bands).flatten(-3, -2)  # (batch, channels, height, w), by bands since most weights are 0
    return shorter @ area(images.shape[-1], width, images).T


def enlarge(small: Tensor, height: int, width: int, window: Window | None = None) -> Tensor:
    """Upsample by cubic interpolation: float (batch, channels, h, w) to (batch, channels, height, width), or a window.

    Values at the border are repeated beyond it.
    """
    rows, columns = window or (slice(None), slice(None))
    down = cubic(small.shape[-2], height, torch.arange(height, device=small.device)[rows], small)
    across = cubic(small.shape[-1], width, torch.arange(width, device=small.device)[columns], small)
    return down @ small @ across.T


def area(size: int, side: int, like: Tensor) -> Tensor:
    """Make the matrix of area averaging, (side, size): the share of output i that pixel j fills; rows sum to 1."""
    return _bands(size, side, side, like)[1][0, :, :size]


def cubic(size: int, large: int | Tensor, pixels: Tensor, like: Tensor) -> Tensor:
    """Make the matrix of cubic interpolation from ``size`` pixels to some of ``large`` pixels.

    The kernel is that of Keys, "Cubic convolution interpolation" (1981), with a = -1/2, which reproduces parabolas. It
    is the sum of a term for distances below 2 pixels and a term for distances below 1 pixel.

    Args:
        size: pixels a side of the small image.
        large: pixels a side of the large image; may be a tensor in exported graphs.
        pixels: the rows or columns of the large image to compute, int64 (n,).
        like: a tensor of the wanted dtype and device.

    Returns:
        Float (n, size): the weight of each small pixel in each large one; rows sum to 1.
    """
    places = (pixels.to(like.dtype) + 0.5) * (size / large) - 0.5
    distance = (places.clamp(0, size - 1)[:, None] - torch.arange(size, dtype=like.dtype, device=like.device)).abs()
    far, near = (2 - distance).clamp(min=0), (1 - distance).clamp(min=0)
    weights = far * far * (far - 1) / 2 + near * near * (1 - 2 * near)
    return weights / weights.sum(dim=1, keepdim=True)


def _bands(size: int, side: int, band: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Divide ``size`` pixels into ``side`` cells of equal length, in bands of ``band`` cells.

    Returns:
        The indices of the pixels that each band needs, int64 (bands, n), and their shares of each cell, float (bands,
        band, n). Superfluous pixels have shares of 0.
    """
    first = torch.arange(0, side, band, device=like.device)[:, None]
    length = (size * band + side - 1) // side + 1
    pixels = first * size // side + torch.arange(length, device=like.device)
    edges = (first + torch.arange(band + 1, device=like.device)).to(like.dtype) * (size / side)
    begin, end = pixels[:, None].to(like.dtype), pixels[:, None].to(like.dtype) + 1
    filled = torch.minimum(edges[:, 1:, None], end) - torch.maximum(edges[:, :-1, None], begin)
    return pixels.clamp(max=size - 1), filled.clamp(min=0) * (side / size)
