"""A bundle as a contender in the benchmark."""

import hashlib
from pathlib import Path

from clearcast.bundle.networks import RESTORER, load_networks
from clearcast.evaluation.benchmark import Denoiser
from clearcast.models.clear.restoring import restore


def contender_of_bundle(folder: Path) -> Denoiser:
    """The restorer of a bundle, named as its folder.

    Raises:
        OutputError: not a bundle, or a damaged one.
    """
    networks, _ = load_networks(folder)
    return Denoiser(
        name=folder.resolve().name,
        restore=lambda picture: restore(networks.restorer, picture)[0],
        channels=networks.channels,
        version=hashlib.sha256((folder / RESTORER).read_bytes()).hexdigest()[:12],
    )
