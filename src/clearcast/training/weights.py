"""Write and read a network's weights as safetensors, which hold numbers only and run no code when they are read."""

import hashlib
from pathlib import Path

from safetensors.torch import load_file, save
from torch import nn

from clearcast.errors import OutputError
from clearcast.files import replace_file

WEIGHTS = "model.safetensors"


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights, whole or not at all."""
    with replace_file(path) as temporary:
        temporary.write_bytes(_written(network))


def fingerprint(network: nn.Module) -> str:
    """Twelve hexadecimal digits that differ where a weight differs."""
    return hashlib.sha256(_written(network)).hexdigest()[:12]


def load_weights(network: nn.Module, folder: Path, name: str = WEIGHTS) -> None:
    """Load what ``fit_network`` wrote.

    Raises:
        OutputError: the file is missing, damaged, or of another network.
    """
    try:
        network.load_state_dict(load_file(folder / name))
    except Exception as error:  # safetensors and torch raise several kinds for a damaged file
        reason = str(error).splitlines()[0]
        raise OutputError(f"{folder / name} cannot be used ({reason}); {cure(folder)}") from None


def _written(network: nn.Module) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})


def cure(folder: Path) -> str:
    """What to do about a stage's folder with a damaged file, as the end of a message."""
    return f"delete the folder {folder} and go on with --resume"
