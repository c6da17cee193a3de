"""Networks of a bundle in PyTorch; saved as safetensors, which hold numbers only and run no code when they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import nn

from clearcast.bundle.archive import BundlePackage, open_package
from clearcast.bundle.manifest import ClassifierMetadata, Manifest, noise_types_of
from clearcast.bundle.signing import TrustedSigners
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError, first_error_line
from clearcast.core.numbers import require_finite, sigmoid
from clearcast.inference.prediction import Prediction
from clearcast.nn.backbone import Backbone
from clearcast.nn.defect_classifier import DefectClassifier, DefectHead, DefectHeadOutput
from clearcast.nn.denoiser import ClearDenoiser, denoise_tiled, describe_noise
from clearcast.nn.student import StudentClassifier
from clearcast.nn.weights import save_weights
from clearcast.noise.estimation import to_noise_estimate

FrozenNetworkT = TypeVar("FrozenNetworkT", bound=nn.Module)

DENOISER_WEIGHTS, CLASSIFIER_WEIGHTS, STUDENT_WEIGHTS = (
    "restorer.safetensors",
    "judge.safetensors",
    "glance.safetensors",
)


@dataclass(frozen=True, kw_only=True)
class CalibratedClassifier:
    """Defect classifier with its calibration and threshold; see ``ClassifierMetadata``."""

    network: DefectClassifier
    metadata: ClassifierMetadata


@dataclass(frozen=True, kw_only=True)
class BundleNetworks:
    """Networks of recipe ``clear``, in evaluation mode; ``classifier`` is None if none could be trained."""

    channels: Channels
    denoiser: ClearDenoiser
    classifier: CalibratedClassifier | None


@dataclass(frozen=True, kw_only=True)
class DistilledNetworks:
    """Networks distilled from ``BundleNetworks``, in evaluation mode: a student classifier and a small denoiser."""

    channels: Channels
    denoiser: ClearDenoiser
    student: StudentClassifier
    metadata: ClassifierMetadata


@torch.inference_mode()
def classify_image(classifier: CalibratedClassifier, image: ImageArray) -> tuple[float, NDArray[np.float32]]:
    """Classify one image, usually a denoised one.

    Args:
        classifier: with its calibration.
        image: uint8 (height, width) or (height, width, 3).

    Returns:
        The calibrated log-odds of defect; and the evidence, float32 (h, w): log-odds of defect by place before
        calibration, one value for 16 x 16 pixels of the classified size.

    Raises:
        ModelOutputError: the log-odds are not finite.
    """
    output = classifier.network(_tensor(image).float() / 255)
    return _log_odds(output, classifier.metadata), output.evidence[0].numpy()


def is_defect(metadata: ClassifierMetadata, log_odds: float) -> bool:
    """Return whether calibrated log-odds of defect exceed the classifier's threshold."""
    return log_odds > metadata["threshold"] / metadata["temperature"]


def predict_image(networks: BundleNetworks, image: ImageArray) -> Prediction:
    """Predict for one image, uint8 (height, width) or (height, width, 3), with the networks of recipe ``clear``.

    Raises:
        ModelOutputError: an output is not finite.
    """
    denoised, context = denoise_tiled(networks.denoiser, image)
    noise = describe_noise(context, image.shape[0], image.shape[1], networks.denoiser.noise_types)
    if networks.classifier is None:
        return Prediction(noise=noise, denoised=denoised)
    log_odds, evidence = classify_image(networks.classifier, denoised)
    metadata = networks.classifier.metadata
    return Prediction(
        noise=noise,
        p_defect=sigmoid(log_odds),
        log_odds=log_odds,
        defect=is_defect(metadata, log_odds),
        evidence=evidence / np.float32(metadata["temperature"]),
        denoised=denoised,
    )


@torch.inference_mode()
def predict_image_distilled(networks: DistilledNetworks, image: ImageArray, *, denoise: bool = True) -> Prediction:
    """Predict for one image, uint8 (height, width) or (height, width, 3), with distilled networks.

    Args:
        networks: the student classifier and the small denoiser.
        image: as it came.
        denoise: whether to predict the denoised image, too.

    Raises:
        ModelOutputError: an output is not finite.
    """
    output, encoded = networks.student(_tensor(image))
    log_odds = _log_odds(output, networks.metadata)
    probabilities = encoded.scores[0].double().softmax(dim=0).tolist()
    of_student = (encoded.scores, encoded.levels)
    return Prediction(
        noise=to_noise_estimate(
            probabilities,
            encoded.levels[0].tolist(),
            encoded.wave[0].tolist(),
            image.shape[0],
            image.shape[1],
            noise_types=networks.denoiser.noise_types,
        ),
        p_defect=sigmoid(log_odds),
        log_odds=log_odds,
        defect=is_defect(networks.metadata, log_odds),
        evidence=output.evidence[0].numpy() / np.float32(networks.metadata["temperature"]),
        denoised=denoise_tiled(networks.denoiser, image, noise=of_student)[0] if denoise else None,
    )


def _tensor(image: ImageArray) -> torch.Tensor:
    """Return an image as a batch of one, uint8 (1, depth, height, width)."""
    return torch.from_numpy(np.ascontiguousarray(image)).reshape(*image.shape[:2], -1).permute(2, 0, 1)[None]


def _log_odds(output: DefectHeadOutput, metadata: ClassifierMetadata) -> float:
    """Return the calibrated log-odds of defect of one image."""
    logit = float(output.logit)
    require_finite("log-odds of defect", logit, "the classifier cannot be used; train again with another --seed")
    return logit / metadata["temperature"]


def freeze(network: FrozenNetworkT) -> FrozenNetworkT:
    """Freeze a network: evaluation mode, no gradients; return it."""
    network.eval().requires_grad_(False)
    return network


def save_networks(networks: BundleNetworks | DistilledNetworks, folder: Path) -> None:
    """Write the weights as safetensors."""
    save_weights(networks.denoiser, folder / DENOISER_WEIGHTS)
    if isinstance(networks, DistilledNetworks):
        save_weights(networks.student, folder / STUDENT_WEIGHTS)
    elif networks.classifier:
        save_weights(networks.classifier.network, folder / CLASSIFIER_WEIGHTS)


def load_networks(path: Path, trust: TrustedSigners | None = None) -> tuple[BundleNetworks, Manifest]:
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
    if DENOISER_WEIGHTS not in package.names():
        raise OutputError(f"{path}: expected a bundle of recipe clear, got one of recipe {manifest['recipe']}")
    channels = Channels(manifest["trained_on"]["channels"])
    denoiser = ClearDenoiser(channels.depth, noise_types=noise_types_of(manifest))
    _load_weights(denoiser, package, DENOISER_WEIGHTS)
    classifier = _load_classifier(package, manifest["judge"]) if manifest["judge"] else None
    return BundleNetworks(channels=channels, denoiser=freeze(denoiser), classifier=classifier), manifest


def _load_classifier(package: BundlePackage, metadata: ClassifierMetadata) -> CalibratedClassifier:
    height, width = metadata["shape"]
    network = DefectClassifier(Backbone(), DefectHead(), (height, width))
    _load_weights(network, package, CLASSIFIER_WEIGHTS)
    return CalibratedClassifier(network=freeze(network), metadata=metadata)


def _load_weights(network: nn.Module, package: BundlePackage, name: str) -> None:
    try:
        network.load_state_dict(load(package.read(name)))
    except OutputError:
        raise
    except Exception as error:  # safetensors and torch raise exceptions of several types for a damaged file
        raise OutputError(
            f"{package.path}: {name} cannot be used ({first_error_line(error)}); copy the bundle again"
        ) from None
