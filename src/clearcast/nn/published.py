"""Published networks: classifier and denoiser of the report, layer by layer as its text lists them."""

from collections.abc import Callable
from dataclasses import dataclass
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


class PublishedClassifier(nn.Module):
    """Published classifier: two strided convolutions and two linear layers.

    Args:
        size: height and width of the images in pixels, at least 16.
        channels: 1 or 3.
        classes: number of classes.
        activation: between the layers.
    """

    def __init__(self, *, size: int, channels: int, classes: int, activation: Activation) -> None:
        super().__init__()
        side = _strided_side(_strided_side(size, padding=1), padding=0)
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


class PublishedDenoiser(nn.Module):
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


def _down(in_channels: int, out_channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1), nn.ReLU()


def _up(in_channels: int, out_channels: int) -> nn.Module:
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1, output_padding=1)


def _strided_side(side: int, *, padding: int) -> int:
    """Compute the side of the output of a convolution with kernel 3 and stride 4."""
    return (side + 2 * padding - 3) // 4 + 1


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """One layer, in the order of calls; ``output`` is its output shape without the batch."""

    name: str
    kind: str
    details: str
    output: tuple[int, ...]
    parameters: int


def summarize_network(network: nn.Module, input_shape: tuple[int, int, int]) -> list[LayerSummary]:
    """List the layers that a black image of shape (channels, height, width) passes in a network."""
    layers: list[LayerSummary] = []
    hooks = [
        module.register_forward_hook(_layer_hook(name, layers))
        for name, module in network.named_modules()
        if not list(module.children()) and not isinstance(module, nn.Identity)
    ]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *input_shape, device=next(network.parameters()).device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return layers


def count_parameters(network: nn.Module) -> int:
    """Count the trainable parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _layer_hook(name: str, layers: list[LayerSummary]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def hook(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        layers.append(
            LayerSummary(
                name=name,
                kind=type(module).__name__,
                details=_details(module),
                output=tuple(output.shape[1:]),
                parameters=count_parameters(module),
            )
        )

    return hook


def _details(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        parts = [f"{module.in_channels}→{module.out_channels}", f"kernel {module.kernel_size[0]}"]
        parts += [f"stride {module.stride[0]}"] * (module.stride[0] != 1)
        parts += [f"padding {module.padding[0]}"] * (module.padding[0] != 0)
        parts += [f"output padding {module.output_padding[0]}"] * (module.output_padding[0] != 0)
        return ", ".join(parts)
    if isinstance(module, nn.Linear):
        return f"{module.in_features}→{module.out_features}"
    if isinstance(module, nn.Dropout):
        return f"p {module.p:g}"
    return ""
