"""Published networks: classifier and denoiser of the report, layer by layer as its text lists them."""

from enum import StrEnum

import torch
from torch import Tensor, nn


class Activation(StrEnum):
    """Activation between the classifier's layers; the report's list of layers names none."""

    RELU = "relu"
    NONE = "none"

    def layer(self) -> nn.Module:
        """Make a layer of this kind."""
        return nn.ReLU() if self is Activation.RELU else nn.Identity()


class ReportClassifier(nn.Module):
    """Published classifier: two strided convolutions and two linear layers.

    Args:
        size: height and width of the images in pixels, at least 16.
        channels: 1 or 3.
        classes: number of classes.
        activation: between the layers.
    """

    def __init__(self, *, size: int, channels: int, classes: int, activation: Activation) -> None:
        super().__init__()
        side = _strided(_strided(size, padding=1), padding=0)
        self.conv1 = nn.Conv2d(channels, 16, kernel_size=3, stride=4, padding=1)
        self.activation1 = activation.layer()
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, stride=4)
        self.activation2 = activation.layer()
        self.dropout1 = nn.Dropout(0.3)
        self.flatten = nn.Flatten()
        self.linear1 = nn.Linear(32 * side * side, 128)
        self.activation3 = activation.layer()
        self.dropout2 = nn.Dropout(0.5)
        self.linear2 = nn.Linear(128, classes)
        self.softmax = nn.Softmax(dim=1)

    def logits(self, images: Tensor) -> Tensor:
        """Compute the scores before the softmax, float (batch, classes), from images as in ``forward``."""
        x = self.activation1(self.conv1(images))  # (batch, 16, size/4, size/4)
        x = self.activation2(self.conv2(x))  # (batch, 32, size/16, size/16)
        x = self.flatten(self.dropout1(x))  # (batch, 32 * size/16 * size/16)
        x = self.dropout2(self.activation3(self.linear1(x)))  # (batch, 128)
        return torch.as_tensor(self.linear2(x))

    def forward(self, images: Tensor) -> Tensor:
        """Compute class probabilities (batch, classes) from float images (batch, channels, size, size) in 0..1."""
        return torch.as_tensor(self.softmax(self.logits(images)))


class ReportDenoiser(nn.Module):
    """Published denoiser: an encoder-decoder of three strided and three transposed convolutions.

    Args:
        channels: 1 or 3.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*_down(channels, 64), *_down(64, 128), *_down(128, 256))
        self.decoder = nn.Sequential(_up(256, 128), nn.ReLU(), _up(128, 64), nn.ReLU(), _up(64, channels), nn.Sigmoid())

    def forward(self, images: Tensor) -> Tensor:
        """Denoise float images (batch, channels, height, width) in 0..1, whose sides are multiples of 8."""
        return torch.as_tensor(self.decoder(self.encoder(images)))  # through (batch, 256, height/8, width/8)


def _down(inside: int, outside: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inside, outside, kernel_size=3, stride=2, padding=1), nn.ReLU()


def _up(inside: int, outside: int) -> nn.Module:
    return nn.ConvTranspose2d(inside, outside, kernel_size=3, stride=2, padding=1, output_padding=1)


def _strided(side: int, *, padding: int) -> int:
    """Compute the side of the output of a convolution with kernel 3 and stride 4."""
    return (side + 2 * padding - 3) // 4 + 1
