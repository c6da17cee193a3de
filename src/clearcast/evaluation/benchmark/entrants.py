"""Benchmark entrants: denoisers, and classifiers that predict the probability of defect."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from clearcast.bundle.signing import TrustedSigners
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError, RecipeError
from clearcast.core.evidence_schema import Stage
from clearcast.core.numbers import sigmoid
from clearcast.evaluation.benchmark.classical import BM3D_NAME, CLASSICAL_DENOISERS
from clearcast.nn.denoiser import denoise_tiled
from clearcast.nn.published import PublishedClassifier, PublishedDenoiser
from clearcast.nn.weights import MODEL_WEIGHTS_FILE, load_weights
from clearcast.pipelines.networks import (
    CLASSIFIER_WEIGHTS,
    DENOISER_WEIGHTS,
    BundleNetworks,
    CalibratedClassifier,
    classify_image,
    load_networks,
)
from clearcast.study.classify import predict_defect
from clearcast.study.denoise import denoise_images, drop_grey_axis
from clearcast.train.datasets import LABEL_CLASSES
from clearcast.train.recipe import Recipe, parse_recipe
from clearcast.train.run_directory import RunDirectory


@dataclass(frozen=True, kw_only=True)
class BenchmarkDenoiser:
    """A denoiser in the benchmark.

    Attributes:
        name: in tables and file names.
        denoise: from a uint8 image, (height, width) or (height, width, 3) by ``channels``, to one of the same shape.
        channels: how images are decoded for it; its result is measured in grey either way.
        version: identifies its weights; results of another version are measured again.
        untrained: whether it needs no training, so that a user who knows the noise type could choose it.
    """

    name: str
    denoise: Callable[[ImageArray], ImageArray]
    channels: Channels = Channels.GREY
    version: str = ""
    untrained: bool = False


@dataclass(frozen=True, kw_only=True)
class BenchmarkClassifier:
    """A classifier in the benchmark: predicts the probability of defect, 0..1, of a noisy image.

    The other attributes are those of ``BenchmarkDenoiser``.
    """

    name: str
    probability: Callable[[ImageArray], float]
    channels: Channels = Channels.GREY
    version: str = ""


NOISY_INPUT = BenchmarkDenoiser(name="noisy", denoise=lambda image: image, untrained=True)


def parse_baselines(text: str) -> tuple[str, ...]:
    """Parse comma-separated names of classical baselines; an empty text means all, BM3D only if it is installed.

    Raises:
        RecipeError: an unknown name.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in CLASSICAL_DENOISERS]
    if unknown:
        raise RecipeError(f"unknown baseline {unknown[0]!r}; expected {', '.join(CLASSICAL_DENOISERS)}")
    return names or tuple(name for name in CLASSICAL_DENOISERS if name != BM3D_NAME or find_spec(BM3D_NAME))


def classical_baselines(names: Sequence[str]) -> list[BenchmarkDenoiser]:
    """List the classical baselines of these names, see ``CLASSICAL_DENOISERS``; they get grey images."""
    return [BenchmarkDenoiser(name=name, denoise=CLASSICAL_DENOISERS[name], untrained=True) for name in names]


def load_study_entrants(run: Path) -> tuple[list[BenchmarkDenoiser], list[BenchmarkClassifier]]:
    """Load the denoiser of stage 3, and the classifiers of stages 1 (noisy) and 4 (denoised images), as far as done.

    They get images as in the study, at the recipe's size; denoised images are enlarged to the original size.

    Raises:
        OutputError: not a run, without any of these stages, or with damaged weights.
    """
    folder = RunDirectory(path=run)
    recipe = parse_recipe(folder.metadata["question"].get("recipe", {}), str(run))
    denoisers, classifiers = [], []
    if folder.is_done(Stage.NOISY):
        classifiers.append(_load_study_classifier(folder, Stage.NOISY, recipe, _identity))
    if folder.is_done(Stage.DENOISING):
        network = PublishedDenoiser(channels=recipe.input.channels.depth)
        load_weights(network, folder.stage(Stage.DENOISING))
        network.eval()
        denoisers.append(
            BenchmarkDenoiser(
                name=recipe.name,
                denoise=lambda image: _resize_back(denoise_images(network, _input_batch(image, recipe)), image),
                channels=recipe.input.channels,
                version=_study_version(folder, Stage.DENOISING),
            )
        )
        if folder.is_done(Stage.DENOISED):
            classifiers.append(_load_study_classifier(folder, Stage.DENOISED, recipe, partial(denoise_images, network)))
    if not denoisers and not classifiers:
        raise OutputError(f"{run}: has no network for noisy images; expected a run with stage 1 or 3")
    return denoisers, classifiers


def _load_study_classifier(
    folder: RunDirectory, stage: Stage, recipe: Recipe, prepare: Callable[[ImageArray], ImageArray]
) -> BenchmarkClassifier:
    """Load the classifier of a stage; ``prepare`` turns noisy images into those that it was trained on."""
    network = _load_network(folder, stage, recipe)
    return BenchmarkClassifier(
        name=f"{recipe.name}, {stage}",
        probability=lambda image: float(predict_defect(network, prepare(_input_batch(image, recipe)))[0]),
        channels=recipe.input.channels,
        version="-".join(_study_version(folder, each) for each in (*stage.needs, stage)),
    )


def _identity(images: ImageArray) -> ImageArray:
    return images


def _load_network(folder: RunDirectory, stage: Stage, recipe: Recipe) -> PublishedClassifier:
    network = PublishedClassifier(
        size=recipe.input.size,
        channels=recipe.input.channels.depth,
        classes=len(LABEL_CLASSES),
        activation=recipe.classifier.activation,
    )
    load_weights(network, folder.stage(stage))
    return network.eval()


def _study_version(folder: RunDirectory, stage: Stage) -> str:
    return hashlib.sha256((folder.stage(stage) / MODEL_WEIGHTS_FILE).read_bytes()).hexdigest()[:12]


def _input_batch(image: ImageArray, recipe: Recipe) -> ImageArray:
    """Resize an image to a batch of one for the networks, uint8 (1, size, size, channels)."""
    size = recipe.input.size
    return imaging.resize_image(image, size, size).reshape(1, size, size, recipe.input.channels.depth)


def _resize_back(denoised: ImageArray, image: ImageArray) -> ImageArray:
    """Resize a batch of one denoised image to the shape of the original image."""
    return imaging.resize_image(np.ascontiguousarray(drop_grey_axis(denoised[0])), *image.shape[:2])


def load_bundle_entrants(
    folder: Path, trust: TrustedSigners | None = None
) -> tuple[BenchmarkDenoiser, list[BenchmarkClassifier]]:
    """Load the denoiser of a bundle, named after its folder, and its classifier of denoised images, if it has one.

    Raises:
        OutputError: it is not a bundle, is damaged, or is not signed by a trusted key.
    """
    networks, _ = load_networks(folder, trust)
    name = folder.resolve().name
    denoiser = BenchmarkDenoiser(
        name=name,
        denoise=lambda picture: denoise_tiled(networks.denoiser, picture)[0],
        channels=networks.channels,
        version=_bundle_study_version(folder, DENOISER_WEIGHTS),
    )
    if networks.classifier is None:
        return denoiser, []
    calibrated = networks.classifier
    classifier = BenchmarkClassifier(
        name=f"{name}, {Stage.DENOISED}",
        probability=lambda image: _probability(networks, calibrated, image),
        channels=networks.channels,
        version=_bundle_study_version(folder, DENOISER_WEIGHTS, CLASSIFIER_WEIGHTS),
    )
    return denoiser, [classifier]


def _probability(networks: BundleNetworks, classifier: CalibratedClassifier, image: ImageArray) -> float:
    """Return the probability of defect, shifted so that the bundle's threshold is 0.5, that of the benchmark."""
    log_odds, _ = classify_image(classifier, denoise_tiled(networks.denoiser, image)[0])
    return sigmoid(log_odds - classifier.metadata["threshold"] / classifier.metadata["temperature"])


def _bundle_study_version(folder: Path, *names: str) -> str:
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()[:12]
