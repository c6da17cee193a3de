"""Weights files of networks, and migration: networks also load weights saved under earlier submodule names."""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor, nn

from clearcast.core.errors import OutputError
from clearcast.core.files import replace_file

MODEL_WEIGHTS_FILE = "model.safetensors"
_DIGITS = 12  # of a hash of weights


def accept_renamed_weights(network: nn.Module, renamed: Mapping[str, str]) -> None:
    """Let a network load weights of submodules that were renamed since the weights were saved.

    The rename happens within ``load_state_dict``, so it covers bundles, fitted weights and checkpoints alike.

    Args:
        network: the network that owns the submodules.
        renamed: earlier names of its direct submodules, and their names now.
    """
    register: Callable[[Callable[..., None]], object] = network.register_load_state_dict_pre_hook  # untyped in PyTorch
    register(partial(_rename, dict(renamed)))


def _rename(renamed: dict[str, str], _: nn.Module, state_dict: dict[str, Tensor], prefix: str, *__: Any) -> None:  # noqa: ANN401
    for key in list(state_dict):
        if key.startswith(prefix):
            name, dot, rest = key[len(prefix) :].partition(".")
            if name in renamed:
                state_dict[f"{prefix}{renamed[name]}{dot}{rest}"] = state_dict.pop(key)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights atomically."""
    with replace_file(path) as temporary:
        temporary.write_bytes(_serialise(network))


def hash_weights(network: nn.Module) -> str:
    """Hash a network's weights to twelve hexadecimal digits; they change if a weight or its name changes."""
    return hashlib.sha256(_serialise(network)).hexdigest()[:_DIGITS]


def load_weights(network: nn.Module, folder: Path, name: str = MODEL_WEIGHTS_FILE) -> None:
    """Load the weights that ``save_weights`` wrote, also under earlier names of the network's submodules.

    Raises:
        OutputError: the file is missing, damaged, or of another network.
    """
    try:
        network.load_state_dict(load_file(folder / name))
    except Exception as error:  # safetensors and torch raise several kinds for a damaged file
        reason = str(error).splitlines()[0]
        raise OutputError(f"{folder / name} cannot be used ({reason}); {recovery_hint(folder)}") from None


def recovery_hint(folder: Path) -> str:
    """Explain how to recover from a damaged file in a stage's folder, as the end of a message."""
    return f"delete the folder {folder} and resume with --resume"


def _serialise(network: nn.Module) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})
