"""Baseline networks from the literature: DnCNN, U-Net and ResNet-18, with configurable width and depth."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.nn.weights import accept_renamed_weights


class DnCnn(nn.Module):
    """DnCNN: a stack of convolutions that predicts the noise, which is subtracted.

    Zhang et al. 2017, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising". The published
    network has width 64 and depth 17 (20 in its blind variant).

    Args:
        channels: 1 or 3.
        width: channels between the layers.
        depth: number of convolutions, at least 3.
    """

    def __init__(self, *, channels: int, width: int = 64, depth: int = 17) -> None:
        super().__init__()
        middle_layers = [layer for _ in range(depth - 2) for layer in _normalized_conv(width)]
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            *middle_layers,
            nn.Conv2d(width, channels, kernel_size=3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Denoise float images (batch, channels, height, width) in 0..1; the result is not clipped."""
        return images - torch.as_tensor(self.layers(images))


class UNet(nn.Module):
    """U-Net that predicts the noise, which is subtracted.

    Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation": two convolutions a
    level, max pooling, transposed convolutions and skip connections. The published network has width 64 and 4 levels
    below the first; here the convolutions are padded, so that the output has the input's size.

    Args:
        channels: 1 or 3.
        width: channels of the first level; each level below has twice as many.
        levels: number of levels below the first, at least 1.
    """

    def __init__(self, *, channels: int, width: int = 64, levels: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels + 1)]
        self.down = nn.ModuleList(map(_double_conv, [channels, *widths[:-1]], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * wide, wide, kernel_size=2, stride=2) for wide in widths[:-1])
        self.join = nn.ModuleList(_double_conv(2 * wide, wide) for wide in widths[:-1])
        self.head = nn.Conv2d(width, channels, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Denoise float images (batch, channels, height, width) in 0..1 of any size; the result is not clipped.

        Images are padded by their border to sides that can be halved at each level.
        """
        height, width = images.shape[-2:]
        step = 2 ** len(self.up)
        x = functional.pad(images, (0, -width % step, 0, -height % step), mode="replicate")
        skips = []
        for level, convolve in enumerate(self.down):
            x = convolve(functional.max_pool2d(x, 2) if level else x)  # (batch, width * 2^level, height / 2^level, ...)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = self.join[level](torch.cat([skips[level], self.up[level](x)], dim=1))
        return images - torch.as_tensor(self.head(x))[..., :height, :width]


class ResNet18(nn.Module):
    """ResNet-18 classifier: He et al. 2016, "Deep Residual Learning for Image Recognition".

    Args:
        channels: 1 or 3.
        classes: number of classes.
    """

    def __init__(self, *, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        widths = (64, 64, 128, 256, 512)
        blocks = []
        for in_channels, out_channels in pairwise(widths):
            blocks += [
                _Residual(in_channels, out_channels, stride=out_channels // in_channels),
                _Residual(out_channels, out_channels, stride=1),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(512, classes)
        self.softmax = nn.Softmax(dim=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def logits(self, images: Tensor) -> Tensor:
        """Compute the scores before the softmax, float (batch, classes), from images as in ``forward``."""
        x = self.blocks(self.stem(images))  # (batch, 512, height / 32, width / 32)
        return torch.as_tensor(self.linear(x.mean(dim=(2, 3))))

    def forward(self, images: Tensor) -> Tensor:
        """Compute class probabilities, float (batch, classes), from float images (batch, channels, h, w) in 0..1."""
        return torch.as_tensor(self.softmax(self.logits(images)))


class _Residual(nn.Module):
    """Residual block of two convolutions; the shortcut is projected if the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            projected = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projected, nn.BatchNorm2d(out_channels))
        accept_renamed_weights(self, {"change": "residual", "keep": "shortcut"})

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.shortcut(x) + self.residual(x))


def _normalized_conv(width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)


def _double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
    )
