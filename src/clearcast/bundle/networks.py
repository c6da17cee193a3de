"""The networks of a bundle: kept as safetensors, which hold numbers only and run no code when they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import nn

from clearcast.checks import require_finite
from clearcast.errors import OutputError
from clearcast.imaging import Channels, Picture
from clearcast.models.backbone import Backbone
from clearcast.models.clear.restorer import Restorer
from clearcast.models.clear.restoring import restore
from clearcast.models.glance import GlancingJudge, Glimpse
from clearcast.models.judge import Judge, PictureJudge
from clearcast.noise.estimation import NoiseEstimate, tell_noise
from clearcast.runtime.manifest import JudgeFacts, Trained, noise_types_of, parse_trained
from clearcast.runtime.package import read_checked, read_trusted
from clearcast.runtime.signing import Trust
from clearcast.training.weights import save_weights

NetworkT = TypeVar("NetworkT", bound=nn.Module)

RESTORER, JUDGE, GLANCE = "restorer.safetensors", "judge.safetensors", "glance.safetensors"


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
class Distilled:
    """What is distilled of ``Networks``, in evaluation mode: verdicts at a glance, and a slim restorer."""

    channels: Channels
    restorer: Restorer
    network: GlancingJudge
    facts: JudgeFacts


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is said of one picture, restored or at a glance.

    ``logit``: calibrated log-odds of defect. ``defect``: the verdict at the chosen threshold. ``evidence``: float32
    (h, w), log-odds by place, one for 16 x 16 pixels of the judged picture.

    Raises:
        ModelOutputError: ``logit`` is not finite.
    """

    logit: float
    defect: bool
    evidence: NDArray[np.float32]

    def __post_init__(self) -> None:
        require_finite("log-odds of defect", self.logit, "the judge cannot be used; train again with another --seed")


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


@dataclass(frozen=True, kw_only=True)
class GlancedAt:
    """What is said of one picture at a glance; ``glimpse``, of a batch of one, tells the restorer of the noise."""

    judged: Judged
    noise: NoiseEstimate
    glimpse: Glimpse


@torch.inference_mode()
def glance(networks: Distilled, picture: Picture) -> GlancedAt:
    """Look at one picture as it came, uint8 (height, width) or (height, width, 3)."""
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).reshape(*picture.shape[:2], -1)
    said, glimpse = networks.network(pixels.permute(2, 0, 1)[None])
    logit, facts = float(said.logit), networks.facts
    chances = glimpse.scores[0].double().softmax(dim=0).tolist()
    return GlancedAt(
        judged=Judged(
            logit=logit / facts["temperature"], defect=logit > facts["threshold"], evidence=said.evidence[0].numpy()
        ),
        noise=tell_noise(
            chances,
            glimpse.levels[0].tolist(),
            glimpse.wave[0].tolist(),
            picture.shape[0],
            picture.shape[1],
            noise_types=networks.restorer.noise_types,
        ),
        glimpse=glimpse,
    )


def restored_by(networks: Distilled, picture: Picture, glimpse: Glimpse) -> Picture:
    """One picture without noise, uint8 of its shape; the restorer is told what was seen of its noise at a glance."""
    return restore(networks.restorer, picture, noise=(glimpse.scores, glimpse.levels))[0]


def still(network: NetworkT) -> NetworkT:
    """The network itself, in evaluation mode and without gradients."""
    network.eval().requires_grad_(False)
    return network


def save_networks(networks: Networks | Distilled, folder: Path) -> None:
    """Write the weights."""
    save_weights(networks.restorer, folder / RESTORER)
    if isinstance(networks, Distilled):
        save_weights(networks.network, folder / GLANCE)
    elif networks.verdicts:
        save_weights(networks.verdicts.network, folder / JUDGE)


def load_networks(path: Path, trust: Trust | None = None) -> tuple[Networks, Trained]:
    """Read a bundle, after making sure that its files are those that were written; one without graphs will do.

    Args:
        path: of its folder or zip.
        trust: whose signature it must have; None: it needs none.

    Raises:
        OutputError: not a bundle, one that is damaged, of another format or not signed as ``trust`` asks, or one of
            other networks.
    """
    read, text = read_trusted(path, trust)
    trained = parse_trained(text, str(path))
    files = {name: read_checked(read, name, trained["files"], path) for name in trained["files"]}
    if trained["recipe"] == "glance":
        raise OutputError(
            f"{path}: distilled; needed is the bundle that it was distilled from, or another of recipe clear"
        )
    if RESTORER not in files:
        raise OutputError(f"{path}: a bundle of recipe {trained['recipe']}; needed is one of recipe clear")
    channels = Channels(trained["trained_on"]["channels"])
    restorer = Restorer(channels.depth, noise_types=noise_types_of(trained))
    _fill(restorer, files, RESTORER, path)
    verdicts = None
    if facts := trained["judge"]:
        height, width = facts["shape"]
        network = PictureJudge(Backbone(), Judge(), (height, width))
        _fill(network, files, JUDGE, path)
        verdicts = Verdicts(network=still(network), facts=facts)
    return Networks(channels=channels, restorer=still(restorer), verdicts=verdicts), trained


def _fill(network: nn.Module, files: dict[str, bytes], name: str, path: Path) -> None:
    try:
        network.load_state_dict(load(files[name]))
    except Exception as error:  # safetensors and torch raise several kinds for a damaged file
        reason = str(error).splitlines()[0]
        raise OutputError(f"{path}: {name} cannot be used ({reason}); copy the bundle again") from None
