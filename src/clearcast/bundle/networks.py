"""The networks of a bundle: kept as safetensors, which hold numbers only and run no code when they are read."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from clearcast.bundle.manifest import Manifest, read_manifest
from clearcast.imaging import Channels
from clearcast.models.clear.restorer import Restorer
from clearcast.training.weights import load_weights, save_weights

RESTORER = "restorer.safetensors"


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What recipe ``clear`` trains, in evaluation mode."""

    channels: Channels
    restorer: Restorer


def save_networks(networks: Networks, folder: Path) -> None:
    """Write the weights."""
    save_weights(networks.restorer, folder / RESTORER)


def load_networks(folder: Path) -> tuple[Networks, Manifest]:
    """Read a bundle, after making sure that its files are those that were written.

    Raises:
        OutputError: not a bundle, or one that is damaged or of another format.
    """
    manifest = read_manifest(folder)
    channels = Channels(manifest["trained_on"]["channels"])
    restorer = Restorer(channels.depth)
    load_weights(restorer, folder, RESTORER)
    return Networks(channels=channels, restorer=_still(restorer)), manifest


def _still(network: Restorer) -> Restorer:
    still: nn.Module = network.eval().requires_grad_(False)
    assert isinstance(still, Restorer)
    return still
