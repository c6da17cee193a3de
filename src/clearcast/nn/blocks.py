"""Building blocks of the networks of recipe ``clear``.

Residual and Fourier blocks, the 3x3 median filter, filling of impulses, conversion to grey (luma), and resizing: area
averaging to shrink, cubic interpolation to enlarge.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# A pixel looks like an impulse if it is this near to black or white, which allows for JPEG, and this far from its
# local median.
_NEAR_EXTREME, _FROM_MEDIAN = 0.16, 0.12
_LUMA = 0.299, 0.587, 0.114  # weights of red, green and blue, ITU-R BT.601
_TINY = 1e-3  # weight of the pixel itself if all of its neighbours are impulses
_BAND = 8  # rows of the small image, at most, that one matrix product computes

PixelWindow = tuple[slice, slice]
"""Rows and columns of an image."""


class ResidualBlock(nn.Module):
    """Residual block of two 3x3 convolutions (He et al. 2016) without normalisation (Lim et al. 2017, EDSR).

    Normalisation would hide the noise level, which a denoiser needs.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features, float (batch, channels, height, width), to features of the same shape."""
        residual: Tensor = self.second(functional.relu(self.first(features)))
        return features + residual


class FourierBlock(nn.Module):
    """Residual block in the Fourier domain: 1x1 convolutions over frequencies, with a global receptive field.

    After the fast Fourier convolution of Chi et al. 2020, for one fixed ``side``. The transforms are products with
    cosine and sine matrices: at this size they are as fast as an FFT, and every ONNX runtime has them.
    """

    cosine: Tensor
    sine: Tensor
    half_cosine: Tensor
    half_sine: Tensor
    inverse_cosine: Tensor
    inverse_sine: Tensor

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(2 * channels, 2 * channels, 1), nn.ReLU(), nn.Conv2d(2 * channels, 2 * channels, 1)
        )
        self.out = nn.Conv2d(channels, channels, 1)
        for name, matrix in _dft_matrices(side).items():
            self.register_buffer(name, matrix.float(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features, float (batch, channels, side, side), to features of the same shape."""
        real, imaginary = self.transform(features)
        real, imaginary = self.mix(torch.cat([real, imaginary], dim=1)).chunk(2, dim=1)
        residual: Tensor = self.out(self.inverse(real, imaginary))
        return features + residual

    def transform(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Compute real and imaginary part of the orthonormal 2-D DFT of a real signal, as ``torch.fft.rfft2``.

        Args:
            signal: float (..., side, side).

        Returns:
            Two tensors, float (..., side, side // 2 + 1).
        """
        row_transform = signal @ self.half_cosine, -(signal @ self.half_sine)
        real = self.cosine @ row_transform[0] + self.sine @ row_transform[1]
        return real, self.cosine @ row_transform[1] - self.sine @ row_transform[0]

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Invert ``transform``: two tensors (..., side, side // 2 + 1) to a real signal (..., side, side)."""
        column_transform = self.cosine @ real - self.sine @ imaginary, self.cosine @ imaginary + self.sine @ real
        return column_transform[0] @ self.inverse_cosine - column_transform[1] @ self.inverse_sine


def _dft_matrices(side: int) -> dict[str, Tensor]:
    """Make the cosine and sine matrices of ``FourierBlock``, float64, by their names."""
    index = torch.arange(side, dtype=torch.float64)
    angle = 2 * math.pi / side * (torch.outer(index, index) % side)
    half = side // 2 + 1
    # The inverse counts each frequency of the half spectrum twice, except the first and the last.
    twice = torch.full((half,), 2.0, dtype=torch.float64)
    twice[[0, -1]] = 1
    norm = 1 / math.sqrt(side)
    return {
        "cosine": angle.cos() * norm,
        "sine": angle.sin() * norm,
        "half_cosine": angle[:, :half].cos() * norm,
        "half_sine": angle[:, :half].sin() * norm,
        "inverse_cosine": twice[:, None] * angle[:half].cos() * norm,
        "inverse_sine": twice[:, None] * angle[:half].sin() * norm,
    }


def zero_initialise(convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Set weight and bias to zero, so that a residual branch starts without effect."""
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(torch.as_tensor(convolution.bias))


def median_filter_3x3(images: Tensor) -> Tensor:
    """Median filter of 3x3 pixels over (batch, channels, height, width); borders repeat.

    The median of nine values in three sorted columns is the median of the largest of the lows, the median of the
    middles and the smallest of the highs; neighbouring windows share sorted columns (Smith 1996, "Implementing median
    filters in XC4000E FPGAs").
    """
    height, width = images.shape[-2:]
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    low, middle, high = _sorted(*(padded[..., row : row + height, :] for row in range(3)))
    lows, middles, highs = ([each[..., column : column + width] for column in range(3)] for each in (low, middle, high))
    highest_low = torch.maximum(torch.maximum(lows[0], lows[1]), lows[2])
    lowest_high = torch.minimum(torch.minimum(highs[0], highs[1]), highs[2])
    return _sorted(highest_low, _sorted(*middles)[1], lowest_high)[1]


def _sorted(one: Tensor, two: Tensor, three: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = torch.minimum(one, two), torch.maximum(one, two)
    middle = torch.minimum(high, three)
    return torch.minimum(low, middle), torch.maximum(low, middle), torch.maximum(high, three)


def fill_impulses(noisy: Tensor) -> tuple[Tensor, Tensor]:
    """Replace pixels that look like impulses by the mean of their other neighbours, in each channel separately.

    Args:
        noisy: float (batch, channels, height, width) in 0..1, or uint8, whose median is faster.

    Returns:
        The filled image, and a mask that is 0 at impulses and 1 elsewhere; both float of the same shape.
    """
    median, noisy = to_unit_range(median_filter_3x3(noisy)), to_unit_range(noisy)
    extreme = (noisy < _NEAR_EXTREME) | (noisy > 1 - _NEAR_EXTREME)
    kept = 1 - (extreme & ((noisy - median).abs() > _FROM_MEDIAN)).to(noisy.dtype)
    values, weights = _smooth(noisy * kept), _smooth(kept)
    neighbours = (values + _TINY * noisy) / (weights + _TINY)
    return noisy * kept + neighbours * (1 - kept), kept  # equals torch.where, which exported graphs run more slowly


def to_unit_range(images: Tensor) -> Tensor:
    """Convert uint8 to float in 0..1; return floats as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def to_luma(images: Tensor) -> Tensor:
    """Convert to grey by ITU-R BT.601, as when a file is decoded to grey: (batch, 3 or 1, ...) to (batch, 1, ...)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = _LUMA
    return red * images[:, :1] + green * images[:, 1:2] + blue * images[:, 2:]


def _smooth(images: Tensor) -> Tensor:
    """Smooth with the binomial kernel 1 2 1 in both directions; borders repeat."""
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    # The mean of two neighbours, applied twice, is the kernel 1 2 1.
    return functional.avg_pool2d(functional.avg_pool2d(padded, 2, stride=1), 2, stride=1)


def resize_area(images: Tensor, height: int, width: int) -> Tensor:
    """Average over equal areas: float (batch, channels, h, w) to (batch, channels, height, width).

    Each output pixel is the mean of the area that it covers, with fractions of the pixels at its border. So the result
    is exact for any h and w, including sizes smaller than ``height`` and ``width``. The axes are scaled independently.
    """
    rows, down = _bands(images.shape[-2], height, math.gcd(height, _BAND), images)
    bands = images.index_select(-2, rows.flatten()).reshape(*images.shape[:-2], *rows.shape, images.shape[-1])
    shorter = (down @ bands).flatten(-3, -2)  # (batch, channels, height, w), by bands since most weights are 0
    return shorter @ area_matrix(images.shape[-1], width, images).T


def resize_cubic(small: Tensor, height: int, width: int, window: PixelWindow | None = None) -> Tensor:
    """Upsample by cubic interpolation: float (batch, channels, h, w) to (batch, channels, height, width), or a window.

    Values at the border are repeated beyond it.
    """
    rows, columns = window or (slice(None), slice(None))
    down = cubic_matrix(small.shape[-2], height, torch.arange(height, device=small.device)[rows], small)
    across = cubic_matrix(small.shape[-1], width, torch.arange(width, device=small.device)[columns], small)
    return down @ small @ across.T


def area_matrix(size: int, side: int, like: Tensor) -> Tensor:
    """Make the matrix of area averaging, (side, size): the share of output i that pixel j fills; rows sum to 1."""
    return _bands(size, side, side, like)[1][0, :, :size]


def cubic_matrix(size: int, large: int | Tensor, pixels: Tensor, like: Tensor) -> Tensor:
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
