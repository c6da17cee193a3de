"""Weights that were saved under earlier submodule names still load: from files, from bundles and from checkpoints."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clearcast.core.errors import OutputError
from clearcast.nn.backbone import Backbone
from clearcast.nn.baselines import ResNet18
from clearcast.nn.defect_classifier import DefectClassifier, DefectHead
from clearcast.nn.denoiser import ClearDenoiser
from clearcast.nn.student import StudentClassifier, StudentEncoder
from clearcast.nn.weights import load_weights
from clearcast.train.denoiser_training import DetailUNetModule, GlobalEncoderModule

EARLIER_KEYS = {  # keys as they were written, and as they are now
    "denoiser": {
        "survey.finder.enter.weight": "global_encoder.periodic_head.input_conv.weight",
        "survey.finder.leave.bias": "global_encoder.periodic_head.output_conv.bias",
        "survey.sense.layers.1.weight": "global_encoder.noise_head.layers.1.weight",
        "detail.enter.weight": "detail.input_conv.weight",
        "detail.hear.weight": "detail.hint_conv.weight",
        "detail.correct.bias": "detail.residual_head.bias",
        "detail.weigh.weight": "detail.mix_head.weight",
        "detail.told.2.weight": "detail.film.2.weight",
    },
    "classifier": {
        "backbone.stem.conv.weight": "backbone.stem.conv.weight",
        "judge.fine.weight": "head.fine.weight",
        "judge.whole.weight": "head.global_head.weight",
    },
    "student": {
        "glance.backbone.stem.conv.weight": "encoder.backbone.stem.conv.weight",
        "glance.noise.1.bias": "encoder.noise_head.1.bias",
        "judge.coarse.weight": "head.coarse.weight",
        "judge.whole.bias": "head.global_head.bias",
    },
    "resnet18": {
        "blocks.0.change.0.weight": "blocks.0.residual.0.weight",
        "blocks.2.keep.0.weight": "blocks.2.shortcut.0.weight",
    },
}
EARLIER_PREFIXES = [  # names now and before, the longest first
    ("global_encoder.periodic_head.input_conv.", "survey.finder.enter."),
    ("global_encoder.periodic_head.output_conv.", "survey.finder.leave."),
    ("global_encoder.periodic_head.", "survey.finder."),
    ("global_encoder.noise_head.", "survey.sense."),
    ("detail.input_conv.", "detail.enter."),
    ("detail.hint_conv.", "detail.hear."),
    ("detail.residual_head.", "detail.correct."),
    ("detail.mix_head.", "detail.weigh."),
    ("detail.film.", "detail.told."),
    ("encoder.noise_head.", "glance.noise."),
    ("encoder.", "glance."),
    ("head.global_head.", "judge.whole."),
    ("head.", "judge."),
    (".residual.", ".change."),
    (".shortcut.", ".keep."),
]


def make_network(name: str) -> nn.Module:
    networks: dict[str, Callable[[], nn.Module]] = {
        "denoiser": ClearDenoiser,
        "classifier": lambda: DefectClassifier(Backbone(), DefectHead(), (64, 64)),
        "student": lambda: StudentClassifier(StudentEncoder(Backbone()), DefectHead(), (64, 64)),
        "resnet18": lambda: ResNet18(channels=1, classes=2),
    }
    return networks[name]()


def earlier_key(key: str) -> str:
    for now, before in EARLIER_PREFIXES:
        if key.startswith(now) or (now.startswith(".") and now in key):
            return key.replace(now, before, 1)
    return key


def network_with_random_weights(name: str) -> nn.Module:
    """A network with random weights, also where they are initialised with zeros."""
    torch.manual_seed(1)
    network = make_network(name)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape)
    return network


def earlier_weights(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + earlier_key(key): value.clone() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("name", EARLIER_KEYS)
def test_earlier_weights_load(name: str, tmp_path: Path) -> None:
    network = network_with_random_weights(name)
    weights = earlier_weights(network)
    for before, now in EARLIER_KEYS[name].items():
        assert weights[before].equal(network.state_dict()[now])
    save_file(weights, tmp_path / "model.safetensors")

    loaded = copy.deepcopy(make_network(name))
    load_weights(loaded, tmp_path)

    for key, value in network.state_dict().items():
        assert loaded.state_dict()[key].equal(value), key


def test_earlier_checkpoints_load() -> None:
    denoiser = network_with_random_weights("denoiser")
    assert isinstance(denoiser, ClearDenoiser)
    weights = earlier_weights(denoiser)
    encoder_weights = {
        key.replace("survey.", "network.", 1): value for key, value in weights.items() if "survey." in key
    }
    detail_weights = {
        key.replace("detail.", "network.", 1): value for key, value in weights.items()
    }  # and the encoder's

    first, second = ClearDenoiser(), ClearDenoiser()
    GlobalEncoderModule(first.global_encoder, learning_rate=1e-3, steps=1).load_state_dict(encoder_weights)
    module = DetailUNetModule(second.detail, second.global_encoder, learning_rate=1e-3, steps=1, crop=8)
    module.load_state_dict(detail_weights)

    for key, value in denoiser.state_dict().items():
        assert second.state_dict()[key].equal(value), key
        assert key.startswith("detail.") or first.state_dict()[key].equal(value), key


def test_weights_of_another_network_are_still_refused(tmp_path: Path) -> None:
    save_file(
        {**earlier_weights(ClearDenoiser()), "detail.unknown.weight": torch.ones(1)}, tmp_path / "model.safetensors"
    )
    with pytest.raises(OutputError, match="cannot be used"):
        load_weights(ClearDenoiser(), tmp_path)
