"""Networks of a bundle in PyTorch; saved as safetensors, which hold numbers only and run no code when they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import nn

from clearcast.checks import require_finite
from clearcast.errors import OutputError, first_line
from clearcast.imaging import Channels, Picture
from clearcast.log_odds import sigmoid
from clearcast.models.backbone import Backbone
from clearcast.models.clear.restorer import Restorer
from clearcast.models.clear.restoring import restore
from clearcast.models.clear.telling import tell
from clearcast.models.glance import GlancingJudge
from clearcast.models.judge import Judge, Judgement, PictureJudge
from clearcast.noise.estimation import tell_noise
from clearcast.runtime.answers import Prediction
from clearcast.runtime.manifest import JudgeFacts, Manifest, noise_types_of
from clearcast.runtime.package import Package, open_package
from clearcast.runtime.signing import Trust
from clearcast.training.weights import save_weights

NetworkT = TypeVar("NetworkT", bound=nn.Module)

RESTORER, JUDGE, GLANCE = "restorer.safetensors", "judge.safetensors", "glance.safetensors"


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Defect classifier with its calibration and threshold; see ``JudgeFacts``."""

    network: PictureJudge
    facts: JudgeFacts


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Networks of recipe ``clear``, in evaluation mode; ``verdicts`` is None if no classifier could be trained."""

    channels: Channels
    restorer: Restorer
    verdicts: Verdicts | None


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """Networks distilled from ``Networks``, in evaluation mode: a student classifier and a small denoiser."""

    channels: Channels
    restorer: Restorer
    network: GlancingJudge
    facts: JudgeFacts


@torch.inference_mode()
def judge(verdicts: Verdicts, image: Picture) -> tuple[float, NDArray[np.float32]]:
    """Classify one image, usually a denoised one.

    Args:
        verdicts: the classifier.
        image: uint8 (height, width) or (height, width, 3).

    Returns:
        The calibrated log-odds of defect; and the evidence, float32 (h, w): log-odds of defect by place before
        calibration, one value for 16 x 16 pixels of the classified size.

    Raises:
        ModelOutputError: the log-odds are not finite.
    """
    output = verdicts.network(_tensor(image).float() / 255)
    return _log_odds(output, verdicts.facts), output.evidence[0].numpy()


def is_defect(facts: JudgeFacts, log_odds: float) -> bool:
    """Return whether calibrated log-odds of defect exceed the classifier's threshold."""
    return log_odds > facts["threshold"] / facts["temperature"]


def predict_networks(networks: Networks, image: Picture) -> Prediction:
    """Predict for one image, uint8 (height, width) or (height, width, 3), with the networks of recipe ``clear``.

    Raises:
        ModelOutputError: an output is not finite.
    """
    denoised, context = restore(networks.restorer, image)
    noise = tell(context, image.shape[0], image.shape[1], networks.restorer.noise_types)
    if networks.verdicts is None:
        return Prediction(noise=noise, denoised=denoised)
    log_odds, evidence = judge(networks.verdicts, denoised)
    facts = networks.verdicts.facts
    return Prediction(
        noise=noise,
        p_defect=sigmoid(log_odds),
        log_odds=log_odds,
        defect=is_defect(facts, log_odds),
        evidence=evidence / np.float32(facts["temperature"]),
        denoised=denoised,
    )


@torch.inference_mode()
def predict_distilled(networks: Distilled, image: Picture, *, denoise: bool = True) -> Prediction:
    """Predict for one image, uint8 (height, width) or (height, width, 3), with distilled networks.

    Args:
        networks: the student classifier and the small denoiser.
        image: as it came.
        denoise: whether the prediction must include the denoised image.

    Raises:
        ModelOutputError: an output is not finite.
    """
    output, student = networks.network(_tensor(image))
    facts = networks.facts
    log_odds = _log_odds(output, facts)
    chances = student.scores[0].double().softmax(dim=0).tolist()
    return Prediction(
        noise=tell_noise(
            chances,
            student.levels[0].tolist(),
            student.wave[0].tolist(),
            image.shape[0],
            image.shape[1],
            noise_types=networks.restorer.noise_types,
        ),
        p_defect=sigmoid(log_odds),
        log_odds=log_odds,
        defect=is_defect(facts, log_odds),
        evidence=output.evidence[0].numpy() / np.float32(facts["temperature"]),
        denoised=restore(networks.restorer, image, noise=(student.scores, student.levels))[0] if denoise else None,
    )


def _tensor(image: Picture) -> torch.Tensor:
    """uint8 (1, depth, height, width)."""
    return torch.from_numpy(np.ascontiguousarray(image)).reshape(*image.shape[:2], -1).permute(2, 0, 1)[None]


def _log_odds(output: Judgement, facts: JudgeFacts) -> float:
    """Return the calibrated log-odds of defect of one image."""
    logit = float(output.logit)
    require_finite("log-odds of defect", logit, "the classifier cannot be used; train again with another --seed")
    return logit / facts["temperature"]


def still(network: NetworkT) -> NetworkT:
    """Freeze a network: evaluation mode, no gradients; return it."""
    network.eval().requires_grad_(False)
    return network


def save_networks(networks: Networks | Distilled, folder: Path) -> None:
    """Write the weights as safetensors."""
    save_weights(networks.restorer, folder / RESTORER)
    if isinstance(networks, Distilled):
        save_weights(networks.network, folder / GLANCE)
    elif networks.verdicts:
        save_weights(networks.verdicts.network, folder / JUDGE)


def load_networks(path: Path, trust: Trust | None = None) -> tuple[Networks, Manifest]:
    """Read the networks and the manifest of a bundle of recipe ``clear``; all its files are checked.

    Args:
        path: of its folder or zip.
        trust: public keys, one of which must have signed the bundle; None: no signature is required.

    Raises:
        OutputError: it is not a bundle, is damaged, has another format or other networks, or is not signed by a trusted
            key.
    """
    package = open_package(path, trust)
    package.check()
    manifest = package.manifest
    if manifest["recipe"] == "glance":
        raise OutputError(
            f"{path}: expected a bundle of recipe clear, got a distilled one; use the bundle that it was distilled from"
        )
    if RESTORER not in package.names():
        raise OutputError(f"{path}: expected a bundle of recipe clear, got one of recipe {manifest['recipe']}")
    channels = Channels(manifest["trained_on"]["channels"])
    restorer = Restorer(channels.depth, noise_types=noise_types_of(manifest))
    _load_weights(restorer, package, RESTORER)
    verdicts = None
    if facts := manifest["judge"]:
        height, width = facts["shape"]
        network = PictureJudge(Backbone(), Judge(), (height, width))
        _load_weights(network, package, JUDGE)
        verdicts = Verdicts(network=still(network), facts=facts)
    return Networks(channels=channels, restorer=still(restorer), verdicts=verdicts), manifest


def _load_weights(network: nn.Module, package: Package, name: str) -> None:
    try:
        network.load_state_dict(load(package.read(name)))
    except OutputError:
        raise
    except Exception as error:  # safetensors and torch raise exceptions of several types for a damaged file
        raise OutputError(
            f"{package.path}: {name} cannot be used ({first_line(error)}); copy the bundle again"
        ) from None
