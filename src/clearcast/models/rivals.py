"""Networks of other people that ours are measured against, as they were published; their width and depth are chosen."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class DnCnn(nn.Module):
    """DnCNN: convolutions in a row that predict the noise, which is subtracted.

    Zhang et al. 2017, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising". As published it
    is 64 wide and 17 deep (20 for its blind variant).

    Args:
        channels: 1 or 3.
        width: channels between the layers.
        depth: how many convolutions there are, at least 3.
    """

    def __init__(self, *, channels: int, width: int = 64, depth: int = 17) -> None:
        super().__init__()
        middle = [layer for _ in range(depth - 2) for layer in _normalized(width)]
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            *middle,
            nn.Conv2d(width, channels, kernel_size=3, padding=1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Clean pictures, not clipped, of the input's shape: float (batch, channels, height, width), nominally 0..1."""
        return pictures - torch.as_tensor(self.layers(pictures))


class UNet(nn.Module):
    """A plain U-Net that predicts the noise, which is subtracted.

    Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation": two convolutions a
    level, maxima down, transposed convolutions up, the levels joined across. As published it is 64 wide with 4 levels
    below the first; here the convolutions are padded, so that the output has the input's size.

    Args:
        channels: 1 or 3.
        width: channels of the first level; each level below has twice as many.
        levels: how many levels lie below the first, at least 1.
    """

    def __init__(self, *, channels: int, width: int = 64, levels: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels + 1)]
        self.down = nn.ModuleList(map(_pair, [channels, *widths[:-1]], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * wide, wide, kernel_size=2, stride=2) for wide in widths[:-1])
        self.join = nn.ModuleList(_pair(2 * wide, wide) for wide in widths[:-1])
        self.head = nn.Conv2d(width, channels, kernel_size=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Clean pictures, not clipped, of the input's shape: float (batch, channels, height, width), nominally 0..1.

        Any size will do: pictures are continued by their border to sides that can be halved at each level.
        """
        height, width = pictures.shape[-2:]
        step = 2 ** len(self.up)
        x = functional.pad(pictures, (0, -width % step, 0, -height % step), mode="replicate")
        across = []
        for level, convolve in enumerate(self.down):
            x = convolve(functional.max_pool2d(x, 2) if level else x)  # (batch, width * 2^level, height / 2^level, ...)
            across.append(x)
        for level in reversed(range(len(self.up))):
            x = self.join[level](torch.cat([across[level], self.up[level](x)], dim=1))
        return pictures - torch.as_tensor(self.head(x))[..., :height, :width]


class ResNet18(nn.Module):
    """ResNet-18; says a picture's class.

    He et al. 2016, "Deep Residual Learning for Image Recognition", with 18 layers.

    Args:
        channels: 1 or 3.
        classes: how many classes there are.
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
        for inside, outside in pairwise(widths):
            blocks += [_Residual(inside, outside, stride=outside // inside), _Residual(outside, outside, stride=1)]
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(512, classes)
        self.softmax = nn.Softmax(dim=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def logits(self, pictures: Tensor) -> Tensor:
        """Scores before the softmax: float (batch, classes); the pictures are as in ``forward``."""
        x = self.blocks(self.stem(pictures))  # (batch, 512, height / 32, width / 32)
        return torch.as_tensor(self.linear(x.mean(dim=(2, 3))))

    def forward(self, pictures: Tensor) -> Tensor:
        """Probabilities in 0..1: float (batch, classes), from float pictures 0..1 of (batch, channels, ...)."""
        return torch.as_tensor(self.softmax(self.logits(pictures)))


class _Residual(nn.Module):
    """Two convolutions, to whose result what came in is added; it is projected where the size changes."""

    def __init__(self, inside: int, outside: int, *, stride: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(inside, outside, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
            nn.Conv2d(outside, outside, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.keep: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            projected = nn.Conv2d(inside, outside, kernel_size=1, stride=stride, bias=False)
            self.keep = nn.Sequential(projected, nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.keep(x) + self.change(x))


def _normalized(width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)


def _pair(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(outside, outside, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
    )
