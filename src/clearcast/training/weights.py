"""Weights of networks as safetensors files, which hold numbers only and run no code when they are read."""

import hashlib
from pathlib import Path

from safetensors.torch import load_file, save
from torch import nn

from clearcast.errors import OutputError
from clearcast.files import replace_file

WEIGHTS = "model.safetensors"
_DIGITS = 12


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights atomically."""
    with replace_file(path) as temporary:
        temporary.write_bytes(_serialise(network))


def fingerprint(network: nn.Module) -> str:
    """Hash a network's weights to twelve hexadecimal digits; they change if a weight or its name changes."""
    return hashlib.sha256(_serialise(network)).hexdigest()[:_DIGITS]


def load_weights(network: nn.Module, folder: Path, name: str = WEIGHTS) -> None:
    """Load the weights that ``save_weights`` wrote, also under earlier names of the network's submodules.

    Raises:
        OutputError: the file is missing, damaged, or of another network.
    """
    try:
        network.load_state_dict(load_file(folder / name))
    except Exception as error:  # safetensors and torch raise several kinds for a damaged file
        reason = str(error).splitlines()[0]
        raise OutputError(f"{folder / name} cannot be used ({reason}); {cure(folder)}") from None


def _serialise(network: nn.Module) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})


def cure(folder: Path) -> str:
    """Explain how to recover from a damaged file in a stage's folder, as the end of a message."""
    return f"delete the folder {folder} and resume with --resume"
