"""The networks of a bundle: kept as safetensors, which hold numbers only and run no code when they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearcast.bundle.manifest import JudgeFacts, Manifest, read_manifest
from clearcast.imaging import Channels, Picture
from clearcast.models.backbone import Backbone
from clearcast.models.clear.restorer import Restorer
from clearcast.models.judge import Judge, PictureJudge
from clearcast.training.weights import load_weights, save_weights

NetworkT = TypeVar("NetworkT", bound=nn.Module)

RESTORER, JUDGE = "restorer.safetensors", "judge.safetensors"


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The judge with what turns its logit into a verdict; see ``JudgeFacts``."""

    network: PictureJudge
    facts: JudgeFacts


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What recipe ``clear`` trains, in evaluation mode; ``verdicts`` is None where no judge could be learned."""

    channels: Channels
    restorer: Restorer
    verdicts: Verdicts | None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is said of one restored picture.

    ``logit``: calibrated log-odds of defect. ``defect``: the verdict at the chosen threshold. ``evidence``: float32
    (h, w), log-odds by place, one for 16 x 16 pixels of the judged picture.
    """

    logit: float
    defect: bool
    evidence: NDArray[np.float32]


@torch.inference_mode()
def judge(verdicts: Verdicts, restored: Picture) -> Judged:
    """Judge one restored picture, uint8 (height, width) or (height, width, 3)."""
    pixels = torch.from_numpy(np.ascontiguousarray(restored))
    said = verdicts.network(pixels.reshape(*restored.shape[:2], -1).permute(2, 0, 1)[None].float() / 255)
    logit = float(said.logit)
    return Judged(
        logit=logit / verdicts.facts["temperature"],
        defect=logit > verdicts.facts["threshold"],
        evidence=said.evidence[0].numpy(),
    )


def still(network: NetworkT) -> NetworkT:
    """The network itself, in evaluation mode and without gradients."""
    network.eval().requires_grad_(False)
    return network


def save_networks(networks: Networks, folder: Path) -> None:
    """Write the weights."""
    save_weights(networks.restorer, folder / RESTORER)
    if networks.verdicts:
        save_weights(networks.verdicts.network, folder / JUDGE)


def load_networks(folder: Path) -> tuple[Networks, Manifest]:
    """Read a bundle, after making sure that its files are those that were written.

    Raises:
        OutputError: not a bundle, or one that is damaged or of another format.
    """
    manifest = read_manifest(folder)
    channels = Channels(manifest["trained_on"]["channels"])
    restorer = Restorer(channels.depth)
    load_weights(restorer, folder, RESTORER)
    verdicts = None
    if facts := manifest["judge"]:
        height, width = facts["shape"]
        network = PictureJudge(Backbone(), Judge(), (height, width))
        load_weights(network, folder, JUDGE)
        verdicts = Verdicts(network=still(network), facts=facts)
    return Networks(channels=channels, restorer=still(restorer), verdicts=verdicts), manifest
