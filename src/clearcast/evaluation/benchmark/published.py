"""Published networks as entrants, with the weights of a finished study."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from clearcast import imaging
from clearcast.data.frames import LABELS
from clearcast.errors import OutputError
from clearcast.evaluation.benchmark.contenders import Denoiser, Judge
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.classify import defect_probabilities
from clearcast.evaluation.study.denoise import restored, without_depth
from clearcast.evaluation.study.folder import RunFolder
from clearcast.imaging import Picture
from clearcast.models.report import ReportClassifier, ReportDenoiser
from clearcast.training.recipe import Recipe, parse_recipe
from clearcast.training.weights import WEIGHTS, load_weights


def contenders_of_run(run: Path) -> tuple[list[Denoiser], list[Judge]]:
    """Load the denoiser of stage 3, and the classifiers of stages 1 (noisy) and 4 (denoised images), as far as done.

    They get images as in the study, at the recipe's size; denoised images are enlarged to the original size.

    Raises:
        OutputError: not a run, without any of these stages, or with damaged weights.
    """
    folder = RunFolder(path=run)
    recipe = parse_recipe(folder.metadata["question"].get("recipe", {}), str(run))
    denoisers, classifiers = [], []
    if folder.is_done(Stage.NOISY):
        classifiers.append(_classifier(folder, Stage.NOISY, recipe, _identity))
    if folder.is_done(Stage.DENOISING):
        network = ReportDenoiser(channels=recipe.input.channels.depth)
        load_weights(network, folder.stage(Stage.DENOISING))
        network.eval()
        denoisers.append(
            Denoiser(
                name=recipe.name,
                denoise=lambda image: _enlarge(restored(network, _input_batch(image, recipe)), image),
                channels=recipe.input.channels,
                version=_version(folder, Stage.DENOISING),
            )
        )
        if folder.is_done(Stage.DENOISED):
            classifiers.append(_classifier(folder, Stage.DENOISED, recipe, partial(restored, network)))
    if not denoisers and not classifiers:
        raise OutputError(f"{run}: has no network for noisy images; expected a run with stage 1 or 3")
    return denoisers, classifiers


def _classifier(folder: RunFolder, stage: Stage, recipe: Recipe, prepare: Callable[[Picture], Picture]) -> Judge:
    """Load the classifier of a stage; ``prepare`` turns noisy images into those that it was trained on."""
    network = _load_network(folder, stage, recipe)
    return Judge(
        name=f"{recipe.name}, {stage}",
        probability=lambda image: float(defect_probabilities(network, prepare(_input_batch(image, recipe)))[0]),
        channels=recipe.input.channels,
        version="-".join(_version(folder, each) for each in (*stage.needs, stage)),
    )


def _identity(images: Picture) -> Picture:
    return images


def _load_network(folder: RunFolder, stage: Stage, recipe: Recipe) -> ReportClassifier:
    network = ReportClassifier(
        size=recipe.input.size,
        channels=recipe.input.channels.depth,
        classes=len(LABELS),
        activation=recipe.classifier.activation,
    )
    load_weights(network, folder.stage(stage))
    return network.eval()


def _version(folder: RunFolder, stage: Stage) -> str:
    return hashlib.sha256((folder.stage(stage) / WEIGHTS).read_bytes()).hexdigest()[:12]


def _input_batch(image: Picture, recipe: Recipe) -> Picture:
    """Resize an image to a batch of one for the networks, uint8 (1, size, size, channels)."""
    size = recipe.input.size
    return imaging.resize(image, size, size).reshape(1, size, size, recipe.input.channels.depth)


def _enlarge(denoised: Picture, image: Picture) -> Picture:
    """Resize a batch of one denoised image to the shape of the original image."""
    return imaging.resize(np.ascontiguousarray(without_depth(denoised[0])), *image.shape[:2])
