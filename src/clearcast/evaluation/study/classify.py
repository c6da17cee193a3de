"""The stages whose answer is a class: train a classifier, ask it about the test rows, measure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from clearcast.checks import require_finite
from clearcast.data.frames import LABELS, ClassFrame, label_frame, noise_frame
from clearcast.data.pictures import PictureStore
from clearcast.domain import Label
from clearcast.evaluation.classification import (
    Probabilities,
    classification_metrics,
    confusion_matrix,
    is_verdict,
    roc_curves,
)
from clearcast.evaluation.results import ClassificationStage, Layer, Training
from clearcast.evaluation.stage import PUBLISHED, Stage
from clearcast.evaluation.study.material import Material
from clearcast.models.report import ReportClassifier
from clearcast.models.summary import LayerSummary, count_parameters, summarize
from clearcast.training.datasets import ClassDataset, ordered_loader, training_loader
from clearcast.training.fit import Fitted, Surroundings, fit_network
from clearcast.training.modules import ClassifierModule, to_float
from clearcast.training.weights import load_weights

_BATCH = 32  # pictures at a time where nothing is learned
_DIVERGED = "its training diverged; try a smaller --learning-rate"


def run_classification(stage: Stage, material: Material, around: Surroundings) -> None:
    """Train a new classifier for one of the stages 0, 1, 2 and 4, and keep its result."""
    material.refuse_leaks()
    pictures = pictures_of(stage, material)
    frame = frame_of(stage, material)
    settings = material.recipe.classifier
    network = _new_classifier(material, frame, around.seed)
    fitted = fit_network(
        ClassifierModule(network, learning_rate=settings.learning_rate, loss_on=settings.loss_on),
        training_loader(ClassDataset(pictures, frame.targets, material.train), batch=settings.batch, seed=around.seed),
        ordered_loader(ClassDataset(pictures, frame.targets, material.heldout)),
        material.folder.stage(stage),
        settings=settings,
        title=stage.heading,
        around=around,
    )
    _measure(stage, material, network, training_record(network, material, pictures, fitted))


def run_transfer(material: Material) -> None:
    """Ask stage 1's classifier about denoised pictures as it is."""
    _measure(Stage.TRANSFER, material, load_classifier(Stage.NOISY, material), None)


def load_classifier(stage: Stage, material: Material) -> ReportClassifier:
    """The classifier that a stage trained."""
    network = _new_classifier(material, frame_of(stage, material), seed=0)
    load_weights(network, material.folder.stage(stage))
    return network.eval()


@torch.no_grad()
def defect_probabilities(network: ReportClassifier, pictures: NDArray[np.uint8]) -> Probabilities:
    """The probability of defect of each picture, float64 (n,), from uint8 (n, height, width, channels)."""
    said = network(to_float(torch.from_numpy(pictures))).double().numpy()
    require_finite("the classifier's probabilities", said, _DIVERGED)
    return np.asarray(said[:, LABELS.index(Label.DEFECT)], np.float64)


def pictures_of(stage: Stage, material: Material) -> PictureStore:
    """The pictures that a stage's classifier sees."""
    if stage is Stage.REFERENCE:
        return material.references
    return material.denoised if stage in {Stage.DENOISED, Stage.TRANSFER} else material.noisy


def frame_of(stage: Stage, material: Material) -> ClassFrame:
    """The classes that a stage asks for."""
    return noise_frame(material.sheet) if stage is Stage.NOISE_TYPE else label_frame(material.sheet)


def training_record(network: nn.Module, material: Material, pictures: PictureStore, fitted: Fitted) -> Training:
    """What the results say about how a network was trained, with its layers as they were built."""
    chosen = material.recipe.input
    layers = summarize(network, (chosen.channels.depth, chosen.size, chosen.size))
    return {
        "epochs": fitted.epochs,
        "train_images": len(material.train),
        "seconds": fitted.seconds,
        "device": fitted.device,
        "cache": pictures.description,
        "images_per_second": fitted.epochs * len(material.train) / max(fitted.seconds, 1e-9),
        "parameters": count_parameters(network),
        "layers": [_as_layer(layer) for layer in layers],
    }


def _as_layer(layer: LayerSummary) -> Layer:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "details": layer.details,
        "output": list(layer.output),
        "parameters": layer.parameters,
    }


def _new_classifier(material: Material, frame: ClassFrame, seed: int) -> ReportClassifier:
    torch.manual_seed(seed)
    recipe = material.recipe
    return ReportClassifier(
        size=recipe.input.size,
        channels=recipe.input.channels.depth,
        classes=len(frame.classes),
        activation=recipe.classifier.activation,
    )


@torch.no_grad()
def _logits(network: ReportClassifier, pictures: PictureStore, rows: Sequence[int]) -> Probabilities:
    """The network's answers before the softmax, float64 (rows, classes)."""
    network.eval()
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    said = [network.logits(to_float(torch.from_numpy(pictures.batch(batch)))).double().numpy() for batch in batches]
    logits = np.concatenate(said)
    require_finite("the classifier's logits", logits, _DIVERGED)
    return logits


def _softmax(logits: Probabilities) -> Probabilities:
    return np.asarray(torch.from_numpy(logits).softmax(dim=1).numpy(), np.float64)


def _measure(stage: Stage, material: Material, network: ReportClassifier, training: Training | None) -> None:
    frame = frame_of(stage, material)
    logits = _logits(network, pictures_of(stage, material), material.test)
    probabilities = _softmax(logits)
    targets = np.array([frame.targets[row] for row in material.test])
    result: ClassificationStage = {
        "kind": "classification",
        "title": stage.heading,
        "classes": list(frame.classes),
        "metrics": classification_metrics(targets, probabilities, frame.classes),
        "published": PUBLISHED.get(stage),
        "confusion": confusion_matrix(targets, probabilities, frame.classes),
        "roc": roc_curves(targets, probabilities, frame.classes),
        "training": training,
    }
    validation = None
    if material.validation:
        chosen_by = _logits(network, pictures_of(stage, material), material.validation)
        validation = _predictions(stage, material, material.validation, chosen_by)
    material.folder.save(stage, result, _predictions(stage, material, material.test, logits), validation)


def _predictions(stage: Stage, material: Material, rows: Sequence[int], logits: Probabilities) -> pd.DataFrame:
    classes = frame_of(stage, material).classes
    probabilities = _softmax(logits)
    table = pd.DataFrame({"row": [material.sheet.rows[row].number for row in rows]})
    if is_verdict(classes):
        defect = classes.index(Label.DEFECT)
        table[f"p_defect_{stage}"] = probabilities[:, defect].round(6)
        table[f"logit_{stage}"] = (logits[:, defect] - logits[:, 1 - defect]).round(6)
    else:
        for index, name in enumerate(classes):
            table[f"p_{name}"] = probabilities[:, index].round(6)
    table[f"said_{stage}"] = [classes[index] for index in logits.argmax(axis=1)]
    return table
