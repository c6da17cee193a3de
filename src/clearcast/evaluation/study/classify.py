"""Classification stages: train a classifier, predict the test rows, compute the metrics."""

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

_BATCH = 32  # images, for predictions
_DIVERGED = "its training diverged; use a smaller --learning-rate"


def run_classification(stage: Stage, context: Material, config: Surroundings) -> None:
    """Train a classifier for stage 0, 1, 2 or 4, and save the stage's result."""
    context.refuse_leaks()
    images = pictures_of(stage, context)
    frame = frame_of(stage, context)
    settings = context.recipe.classifier
    network = _new_classifier(context, frame, config.seed)
    fitted = fit_network(
        ClassifierModule(network, learning_rate=settings.learning_rate, loss_on=settings.loss_on),
        training_loader(ClassDataset(images, frame.targets, context.train), batch=settings.batch, seed=config.seed),
        ordered_loader(ClassDataset(images, frame.targets, context.heldout)),
        context.folder.stage(stage),
        settings=settings,
        title=stage.heading,
        config=config,
    )
    _evaluate(stage, context, network, training_record(network, context, images, fitted))


def run_transfer(context: Material) -> None:
    """Evaluate stage 1's classifier on denoised images, without training."""
    _evaluate(Stage.TRANSFER, context, load_classifier(Stage.NOISY, context), None)


def load_classifier(stage: Stage, context: Material) -> ReportClassifier:
    """Load the classifier that a stage trained."""
    network = _new_classifier(context, frame_of(stage, context), seed=0)
    load_weights(network, context.folder.stage(stage))
    return network.eval()


@torch.no_grad()
def defect_probabilities(network: ReportClassifier, images: NDArray[np.uint8]) -> Probabilities:
    """Predict the probability of defect, float64 (n,), of images, uint8 (n, height, width, channels)."""
    probabilities = network(to_float(torch.from_numpy(images))).double().numpy()
    require_finite("the classifier's probabilities", probabilities, _DIVERGED)
    return np.asarray(probabilities[:, LABELS.index(Label.DEFECT)], np.float64)


def pictures_of(stage: Stage, context: Material) -> PictureStore:
    """Return the images that a stage's classifier is trained and evaluated on."""
    if stage is Stage.REFERENCE:
        return context.references
    return context.denoised if stage in {Stage.DENOISED, Stage.TRANSFER} else context.noisy


def frame_of(stage: Stage, context: Material) -> ClassFrame:
    """Return the classes and targets of a stage."""
    return noise_frame(context.sheet) if stage is Stage.NOISE_TYPE else label_frame(context.sheet)


def training_record(network: nn.Module, context: Material, images: PictureStore, fitted: Fitted) -> Training:
    """Describe a network's training and its layers, for the results."""
    inputs = context.recipe.input
    layers = summarize(network, (inputs.channels.depth, inputs.size, inputs.size))
    return {
        "epochs": fitted.epochs,
        "train_images": len(context.train),
        "seconds": fitted.seconds,
        "device": fitted.device,
        "cache": images.description,
        "images_per_second": fitted.epochs * len(context.train) / max(fitted.seconds, 1e-9),
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


def _new_classifier(context: Material, frame: ClassFrame, seed: int) -> ReportClassifier:
    torch.manual_seed(seed)
    recipe = context.recipe
    return ReportClassifier(
        size=recipe.input.size,
        channels=recipe.input.channels.depth,
        classes=len(frame.classes),
        activation=recipe.classifier.activation,
    )


@torch.no_grad()
def _logits(network: ReportClassifier, images: PictureStore, rows: Sequence[int]) -> Probabilities:
    """Predict the scores before the softmax, float64 (rows, classes)."""
    network.eval()
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    logits = np.concatenate(
        [network.logits(to_float(torch.from_numpy(images.batch(batch)))).double().numpy() for batch in batches]
    )
    require_finite("the classifier's logits", logits, _DIVERGED)
    return logits


def _softmax(logits: Probabilities) -> Probabilities:
    return np.asarray(torch.from_numpy(logits).softmax(dim=1).numpy(), np.float64)


def _evaluate(stage: Stage, context: Material, network: ReportClassifier, training: Training | None) -> None:
    """Evaluate a classifier on the test rows, and save the stage's result and predictions."""
    frame = frame_of(stage, context)
    logits = _logits(network, pictures_of(stage, context), context.test)
    probabilities = _softmax(logits)
    targets = np.array([frame.targets[row] for row in context.test])
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
    if context.validation:
        validation_logits = _logits(network, pictures_of(stage, context), context.validation)
        validation = _predictions(stage, context, context.validation, validation_logits)
    context.folder.save(stage, result, _predictions(stage, context, context.test, logits), validation)


def _predictions(stage: Stage, context: Material, rows: Sequence[int], logits: Probabilities) -> pd.DataFrame:
    classes = frame_of(stage, context).classes
    probabilities = _softmax(logits)
    table = pd.DataFrame({"row": [context.sheet.rows[row].number for row in rows]})
    if is_verdict(classes):
        defect = classes.index(Label.DEFECT)
        table[f"p_defect_{stage}"] = probabilities[:, defect].round(6)
        table[f"logit_{stage}"] = (logits[:, defect] - logits[:, 1 - defect]).round(6)
    else:
        for index, name in enumerate(classes):
            table[f"p_{name}"] = probabilities[:, index].round(6)
    table[f"said_{stage}"] = [classes[index] for index in logits.argmax(axis=1)]
    return table
