"""The published networks as contenders, with the weights of a finished study."""

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
    """The denoiser of stage 3, and the judges of stages 1 (noisy images) and 4 (denoised ones), as far as done.

    They see images as in the study, at the recipe's size; what the denoiser makes is enlarged again.

    Raises:
        OutputError: not a run, without any of these stages, or with damaged weights.
    """
    folder = RunFolder(path=run)
    recipe = parse_recipe(folder.metadata["question"].get("recipe", {}), str(run))
    denoisers, judges = [], []
    if folder.is_done(Stage.NOISY):
        judges.append(_judge(folder, Stage.NOISY, recipe, _as_it_is))
    if folder.is_done(Stage.DENOISING):
        denoise = ReportDenoiser(channels=recipe.input.channels.depth)
        load_weights(denoise, folder.stage(Stage.DENOISING))
        denoise.eval()
        denoisers.append(
            Denoiser(
                name=recipe.name,
                restore=lambda image: _enlarged(restored(denoise, _at_size(image, recipe)), image),
                channels=recipe.input.channels,
                version=_version(folder, Stage.DENOISING),
            )
        )
        if folder.is_done(Stage.DENOISED):
            judges.append(_judge(folder, Stage.DENOISED, recipe, partial(restored, denoise)))
    if not denoisers and not judges:
        raise OutputError(f"{run}: holds no network that denoises or judges noisy images; needed is stage 1 or 3")
    return denoisers, judges


def _judge(folder: RunFolder, stage: Stage, recipe: Recipe, prepare: Callable[[Picture], Picture]) -> Judge:
    """The classifier of a stage; ``prepare`` makes of noisy images what it was trained on."""
    classify = _classifier(folder, stage, recipe)
    return Judge(
        name=f"{recipe.name}, {stage}",
        probability=lambda image: float(defect_probabilities(classify, prepare(_at_size(image, recipe)))[0]),
        channels=recipe.input.channels,
        version="-".join(_version(folder, each) for each in (*stage.needs, stage)),
    )


def _as_it_is(images: Picture) -> Picture:
    return images


def _classifier(folder: RunFolder, stage: Stage, recipe: Recipe) -> ReportClassifier:
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


def _at_size(image: Picture, recipe: Recipe) -> Picture:
    """A batch of one image as the networks get it: (1, size, size, channels)."""
    size = recipe.input.size
    return imaging.resize(image, size, size).reshape(1, size, size, recipe.input.channels.depth)


def _enlarged(clean: Picture, image: Picture) -> Picture:
    return imaging.resize(np.ascontiguousarray(without_depth(clean[0])), *image.shape[:2])
