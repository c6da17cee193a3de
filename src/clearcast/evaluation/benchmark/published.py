"""The published networks as contenders, with the weights of a finished study."""

import hashlib
from pathlib import Path

import numpy as np
import torch

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
    """The denoiser of stage 3, and the judges of stages 1 (noisy pictures) and 4 (denoised ones), as far as done.

    They see pictures as in the study, at the recipe's size; what the denoiser makes is enlarged again.

    Raises:
        OutputError: not a run, without any of these stages, or with damaged weights.
    """
    folder = RunFolder(path=run)
    recipe = parse_recipe(folder.about["question"].get("recipe", {}), str(run))
    denoisers, judges = [], []
    channels = recipe.input.channels
    if folder.is_done(Stage.NOISY):
        classify = _classifier(folder, Stage.NOISY, recipe)
        judges.append(
            Judge(
                name=f"{recipe.name}, noisy",
                probability=lambda picture: _defect(classify, _at_size(picture, recipe)),
                channels=channels,
                version=_version(folder, Stage.NOISY),
            )
        )
    if folder.is_done(Stage.DENOISING):
        denoise = ReportDenoiser(channels=channels.depth)
        load_weights(denoise, folder.stage(Stage.DENOISING))
        denoise.eval()
        version = _version(folder, Stage.DENOISING)
        denoisers.append(
            Denoiser(
                name=recipe.name,
                restore=lambda picture: _enlarged(restored(denoise, _at_size(picture, recipe)), picture),
                channels=channels,
                version=version,
            )
        )
        if folder.is_done(Stage.DENOISED):
            again = _classifier(folder, Stage.DENOISED, recipe)
            judges.append(
                Judge(
                    name=f"{recipe.name}, denoised",
                    probability=lambda picture: _defect(again, restored(denoise, _at_size(picture, recipe))),
                    channels=channels,
                    version=f"{version}-{_version(folder, Stage.DENOISED)}",
                )
            )
    if not denoisers and not judges:
        raise OutputError(
            f"{run}: no stage of the study is done that denoises or judges noisy pictures; needed is 1 or 3"
        )
    return denoisers, judges


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


def _at_size(picture: Picture, recipe: Recipe) -> Picture:
    """A batch of one picture as the networks get it: (1, size, size, channels)."""
    size = recipe.input.size
    return imaging.resize(picture, size, size).reshape(1, size, size, recipe.input.channels.depth)


def _enlarged(clean: Picture, picture: Picture) -> Picture:
    return imaging.resize(np.ascontiguousarray(without_depth(clean[0])), *picture.shape[:2])


def _defect(network: ReportClassifier, pictures: Picture) -> float:
    with torch.inference_mode():
        return float(defect_probabilities(network, pictures)[0])
