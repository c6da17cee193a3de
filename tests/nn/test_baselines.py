"""Baseline networks: published parameter counts, shapes, gradients and seeds."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from clearcast.nn.baselines import DnCnn, ResNet18, UNet
from clearcast.nn.published import count_parameters

DENOISERS: dict[str, Callable[[int], nn.Module]] = {
    "dncnn": lambda channels: DnCnn(channels=channels, width=8, depth=5),
    "unet": lambda channels: UNet(channels=channels, width=8, levels=2),
}


def test_parameter_counts_are_the_published_ones() -> None:
    """ResNet-18 for ImageNet; U-Net with 64 channels, one input and one output channel; DnCNN by its closed form."""
    assert count_parameters(ResNet18(channels=3, classes=1000)) == 11_689_512
    assert count_parameters(UNet(channels=1)) == 31_030_593
    first, between, last = 9 * 64 + 64, 15 * (9 * 64 * 64 + 2 * 64), 9 * 64 + 1
    assert count_parameters(DnCnn(channels=1)) == first + between + last == 556_097


@pytest.mark.parametrize(
    ("name", "channels", "size"), list(itertools.product(DENOISERS, (1, 3), ((64, 64), (37, 50), (8, 9))))
)
def test_denoisers_keep_any_shape(name: str, channels: int, size: tuple[int, int]) -> None:
    images = torch.rand(2, channels, *size)
    with torch.no_grad():
        assert DENOISERS[name](channels).eval()(images).shape == images.shape


@pytest.mark.parametrize("name", DENOISERS)
def test_a_denoiser_that_predicts_no_noise_changes_nothing(name: str) -> None:
    network = DENOISERS[name](1).eval()
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    images = torch.rand(1, 1, 21, 30)
    with torch.no_grad():
        assert torch.equal(network(images), images)


@pytest.mark.parametrize("size", [(64, 64), (97, 130), (33, 33)])
def test_resnet_gives_probabilities_for_any_size(size: tuple[int, int]) -> None:
    network = ResNet18(channels=1, classes=2).eval()
    with torch.no_grad():
        probabilities = network(torch.rand(2, 1, *size))
        depth = network.blocks(network.stem(torch.rand(1, 1, 224, 224))).shape
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))
    assert depth == (1, 512, 7, 7)  # as published


@pytest.mark.parametrize("name", [*DENOISERS, "resnet"])
def test_every_parameter_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    network = ResNet18(channels=1, classes=2) if name == "resnet" else DENOISERS[name](1)
    network(torch.rand(4, 1, 64, 64)).square()[:, 0].sum().backward()
    for parameter, weight in network.named_parameters():
        assert weight.grad is not None, parameter
        assert weight.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize("name", DENOISERS)
def test_the_same_seed_gives_the_same_network(name: str) -> None:
    images, outputs = torch.rand(1, 1, 32, 32), []
    for _ in range(2):
        torch.manual_seed(3)
        with torch.no_grad():
            outputs.append(DENOISERS[name](1).eval()(images))
    assert torch.equal(*outputs)
