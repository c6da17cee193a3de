"""Published networks compared with the list of layers in the published text."""

import pytest
import torch
from torch import nn

from clearcast.nn.published import (
    Activation,
    PublishedClassifier,
    PublishedDenoiser,
    count_parameters,
    summarize_network,
)


@pytest.fixture
def classifier() -> PublishedClassifier:
    return PublishedClassifier(size=256, channels=3, classes=3, activation=Activation.RELU)


def test_classifier_has_the_published_layers(classifier: PublishedClassifier) -> None:
    layers = [(layer.kind, layer.details, layer.output) for layer in summarize_network(classifier, (3, 256, 256))]
    assert [layer for layer in layers if layer[0] != "ReLU"] == [
        ("Conv2d", "3→16, kernel 3, stride 4, padding 1", (16, 64, 64)),
        ("Conv2d", "16→32, kernel 3, stride 4", (32, 16, 16)),
        ("Dropout", "p 0.3", (32, 16, 16)),
        ("Flatten", "", (8192,)),
        ("Linear", "8192→128", (128,)),
        ("Dropout", "p 0.5", (128,)),
        ("Linear", "128→3", (3,)),
        ("Softmax", "", (3,)),
    ]
    assert sum(kind == "ReLU" for kind, *_ in layers) == 3


def test_parameter_counts_equal_the_closed_form(classifier: PublishedClassifier) -> None:
    convolutions = (3 * 9 + 1) * 16 + (16 * 9 + 1) * 32
    linear = (8192 + 1) * 128 + (128 + 1) * 3
    assert count_parameters(classifier) == convolutions + linear
    assert sum(layer.parameters for layer in summarize_network(classifier, (3, 256, 256))) == convolutions + linear
    down = (3 * 9 + 1) * 64 + (64 * 9 + 1) * 128 + (128 * 9 + 1) * 256
    up = (256 * 9 + 0) * 128 + 128 + (128 * 9) * 64 + 64 + (64 * 9) * 3 + 3
    assert count_parameters(PublishedDenoiser(channels=3)) == down + up


def test_literal_classifier_has_no_activations() -> None:
    """Without activations and dropout it is an affine map of its input."""
    network = PublishedClassifier(size=64, channels=1, classes=2, activation=Activation.NONE).eval()
    x, y = torch.rand(2, 1, 1, 64, 64)
    with torch.no_grad():
        middle = network.logits((x + y) / 2)
        torch.testing.assert_close(middle, (network.logits(x) + network.logits(y)) / 2, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [32, 64, 100, 256, 512])
def test_probabilities_for_every_size(size: int) -> None:
    network = PublishedClassifier(size=size, channels=3, classes=2, activation=Activation.RELU).eval()
    with torch.no_grad():
        probabilities = network(torch.rand(2, 3, size, size))
    assert probabilities.shape == (2, 2)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))


def test_denoiser_alternates_as_published() -> None:
    kinds = [type(layer) for layer in PublishedDenoiser(channels=3).modules() if not list(layer.children())]
    down = [nn.Conv2d, nn.ReLU] * 3
    up = [nn.ConvTranspose2d, nn.ReLU, nn.ConvTranspose2d, nn.ReLU, nn.ConvTranspose2d, nn.Sigmoid]
    assert kinds == down + up


def test_denoiser_doubles_each_size_again_with_output_padding() -> None:
    layers = summarize_network(PublishedDenoiser(channels=3), (3, 256, 256))
    assert [(layer.details, layer.output) for layer in layers if layer.kind == "ConvTranspose2d"] == [
        ("256→128, kernel 3, stride 2, padding 1, output padding 1", (128, 64, 64)),
        ("128→64, kernel 3, stride 2, padding 1, output padding 1", (64, 128, 128)),
        ("64→3, kernel 3, stride 2, padding 1, output padding 1", (3, 256, 256)),
    ]


@pytest.mark.parametrize(("channels", "height", "width"), [(3, 256, 256), (1, 64, 96)])
def test_denoiser_keeps_shape_and_range(channels: int, height: int, width: int) -> None:
    images = torch.rand(2, channels, height, width)
    with torch.no_grad():
        denoised = PublishedDenoiser(channels=channels)(images)
    assert denoised.shape == images.shape
    assert 0 <= denoised.min() <= denoised.max() <= 1


def test_summary_does_not_change_the_network(classifier: PublishedClassifier) -> None:
    summarize_network(classifier.train(), (3, 256, 256))
    assert classifier.training
    assert not any(module._forward_hooks for module in classifier.modules())
