"""What the networks of recipe ``clear`` are built of."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# What looks struck: JPEG moves impulses away from black and white by less, and they differ from what is around.
_NEAR, _UNLIKE = 0.16, 0.12


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to what came in (He et al. 2016), without normalisation.

    Normalisation would hide the level of the noise, which a denoiser must see (Lim et al. 2017, EDSR).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Float (batch, channels, height, width), of the same shape."""
        change: Tensor = self.second(functional.relu(self.first(features)))
        return features + change


class Fourier(nn.Module):
    """A layer in the Fourier domain: mixes the channels of each frequency, so that every place sees every other.

    After "fast Fourier convolution" (Chi et al. 2020), for one fixed ``side``. The transforms are products with
    cosines and sines: at this size they are as fast as an FFT and run in any exported graph.
    """

    cosine: Tensor
    sine: Tensor
    half_cosine: Tensor
    half_sine: Tensor
    back_cosine: Tensor
    back_sine: Tensor

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(2 * channels, 2 * channels, 1), nn.ReLU(), nn.Conv2d(2 * channels, 2 * channels, 1)
        )
        self.out = nn.Conv2d(channels, channels, 1)
        turn = torch.arange(side, dtype=torch.float64)
        angle = 2 * math.pi / side * (torch.outer(turn, turn) % side)
        half = side // 2 + 1
        # A real signal's other frequencies repeat these; on the way back they count twice, but for the first and last.
        twice = torch.full((half,), 2.0, dtype=torch.float64)
        twice[[0, -1]] = 1
        norm = 1 / math.sqrt(side)
        tables = {
            "cosine": angle.cos() * norm,
            "sine": angle.sin() * norm,
            "half_cosine": angle[:, :half].cos() * norm,
            "half_sine": angle[:, :half].sin() * norm,
            "back_cosine": twice[:, None] * angle[:half].cos() * norm,
            "back_sine": twice[:, None] * angle[:half].sin() * norm,
        }
        for name, table in tables.items():
            self.register_buffer(name, table.float(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Float (batch, channels, side, side), of the same shape."""
        real, imaginary = self.transform(features)
        real, imaginary = self.mix(torch.cat([real, imaginary], dim=1)).chunk(2, dim=1)
        change: Tensor = self.out(self.inverse(real, imaginary))
        return features + change

    def transform(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of the orthonormal 2-D DFT, (..., side, side) to (..., side, side // 2 + 1)."""
        across = signal @ self.half_cosine, -(signal @ self.half_sine)
        real = self.cosine @ across[0] + self.sine @ across[1]
        return real, self.cosine @ across[1] - self.sine @ across[0]

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """The real signal of these frequencies, (..., side, side // 2 + 1) to (..., side, side)."""
        down = self.cosine @ real - self.sine @ imaginary, self.cosine @ imaginary + self.sine @ real
        return down[0] @ self.back_cosine - down[1] @ self.back_sine


def median3(pictures: Tensor) -> Tensor:
    """The median of each pixel and its eight neighbours, (batch, channels, height, width); borders repeat.

    Of nine values in three sorted columns it is the median of the largest low one, the middle one of the middle ones
    and the smallest high one; columns are sorted once for all (Smith 1996, "Implementing median filters in XC4000E
    FPGAs").
    """
    height, width = pictures.shape[-2:]
    padded = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    low, middle, high = _sorted(*(padded[..., row : row + height, :] for row in range(3)))
    lows, middles, highs = ([each[..., column : column + width] for column in range(3)] for each in (low, middle, high))
    highest_low = torch.maximum(torch.maximum(lows[0], lows[1]), lows[2])
    lowest_high = torch.minimum(torch.minimum(highs[0], highs[1]), highs[2])
    return _sorted(highest_low, _sorted(*middles)[1], lowest_high)[1]


def _sorted(one: Tensor, two: Tensor, three: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = torch.minimum(one, two), torch.maximum(one, two)
    middle = torch.minimum(high, three)
    return torch.minimum(low, middle), torch.maximum(low, middle), torch.maximum(high, three)


def fill(noisy: Tensor) -> tuple[Tensor, Tensor]:
    """Put the mean of unstruck neighbours in place of pixels that look struck by an impulse, in each channel apart.

    Args:
        noisy: float (batch, channels, height, width) in 0..1, or uint8, whose median is the faster one.

    Returns:
        The filled picture, and 0 where a pixel looks struck, else 1; both float of the same shape.
    """
    middling, noisy = to_unit(median3(noisy)), to_unit(noisy)
    extreme = (noisy < _NEAR) | (noisy > 1 - _NEAR)
    kept = 1 - (extreme & ((noisy - middling).abs() > _UNLIKE)).to(noisy.dtype)
    values, weights = _around(noisy * kept), _around(kept)
    around = (values + 1e-3 * noisy) / (weights + 1e-3)
    return noisy * kept + around * (1 - kept), kept  # the same as torch.where, which exported graphs run more slowly


def to_unit(pictures: Tensor) -> Tensor:
    """Floats as they are; uint8 as float in 0..1."""
    return pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures


def luma(pictures: Tensor) -> Tensor:
    """Grey by ITU-R BT.601, as when a file is decoded to grey: (batch, 3 or 1, ...) to (batch, 1, ...)."""
    if pictures.shape[1] == 1:
        return pictures
    return 0.299 * pictures[:, :1] + 0.587 * pictures[:, 1:2] + 0.114 * pictures[:, 2:]


def _around(pictures: Tensor) -> Tensor:
    """A weighted mean of each pixel and its neighbours (1 2 1 both ways); borders repeat."""
    padded = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    # Of two neighbours the mean, and of two such: 1 2 1.
    return functional.avg_pool2d(functional.avg_pool2d(padded, 2, stride=1), 2, stride=1)
