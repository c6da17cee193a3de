"""Classification stages: train a classifier, predict the test rows, compute the metrics."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from clearcast.core.evidence_schema import PUBLISHED_RESULTS, Stage
from clearcast.core.numbers import require_finite
from clearcast.data.images import ImageCache
from clearcast.metrics.classification import (
    Probabilities,
    classification_metrics,
    confusion_matrix,
    is_ok_defect,
    roc_curves,
)
from clearcast.metrics.results import ClassificationResult, LayerInfo, TrainingInfo
from clearcast.nn.published import LayerSummary, PublishedClassifier, count_parameters, summarize_network
from clearcast.nn.weights import load_weights
from clearcast.study.context import StudyContext
from clearcast.train.datasets import (
    LABEL_CLASSES,
    ClassDataset,
    ClassificationTargets,
    evaluation_loader,
    make_label_targets,
    make_noise_type_targets,
    training_loader,
)
from clearcast.train.modules import PublishedClassifierModule, images_to_float
from clearcast.train.trainer import FitRecord, TrainerConfig, fit_network
from clearcast.types import Label

_BATCH = 32  # images, for predictions
_DIVERGED = "its training diverged; use a smaller --learning-rate"


def run_classification_stage(stage: Stage, context: StudyContext, config: TrainerConfig) -> None:
    """Train a classifier for stage 0, 1, 2 or 4, and save the stage's result."""
    context.refuse_leaks()
    images = _stage_images(stage, context)
    class_targets = _stage_targets(stage, context)
    settings = context.recipe.classifier
    network = _make_classifier(context, class_targets, config.seed)
    record = fit_network(
        PublishedClassifierModule(network, learning_rate=settings.learning_rate, loss_on=settings.loss_on),
        training_loader(
            ClassDataset(images, class_targets.targets, context.train), batch=settings.batch, seed=config.seed
        ),
        evaluation_loader(ClassDataset(images, class_targets.targets, context.heldout)),
        context.folder.stage(stage),
        settings=settings,
        title=stage.heading,
        config=config,
    )
    _evaluate(stage, context, network, training_record(network, context, images, record))


def run_transfer_stage(context: StudyContext) -> None:
    """Evaluate stage 1's classifier on denoised images, without training."""
    _evaluate(Stage.TRANSFER, context, load_stage_classifier(Stage.NOISY, context), None)


def load_stage_classifier(stage: Stage, context: StudyContext) -> PublishedClassifier:
    """Load the classifier that a stage trained."""
    network = _make_classifier(context, _stage_targets(stage, context), seed=0)
    load_weights(network, context.folder.stage(stage))
    return network.eval()


@torch.no_grad()
def predict_defect(network: PublishedClassifier, images: NDArray[np.uint8]) -> Probabilities:
    """Predict the probability of defect, float64 (n,), of images, uint8 (n, height, width, channels)."""
    probabilities = network(images_to_float(torch.from_numpy(images))).double().numpy()
    require_finite("the classifier's probabilities", probabilities, _DIVERGED)
    return np.asarray(probabilities[:, LABEL_CLASSES.index(Label.DEFECT)], np.float64)


def _stage_images(stage: Stage, context: StudyContext) -> ImageCache:
    """Return the images that a stage's classifier is trained and evaluated on."""
    if stage is Stage.REFERENCE:
        return context.references
    return context.denoised if stage in {Stage.DENOISED, Stage.TRANSFER} else context.noisy


def _stage_targets(stage: Stage, context: StudyContext) -> ClassificationTargets:
    """Return the classes and targets of a stage."""
    return make_noise_type_targets(context.sheet) if stage is Stage.NOISE_TYPE else make_label_targets(context.sheet)


def training_record(network: nn.Module, context: StudyContext, images: ImageCache, record: FitRecord) -> TrainingInfo:
    """Describe a network's training and its layers, for the results."""
    inputs = context.recipe.input
    layers = summarize_network(network, (inputs.channels.depth, inputs.size, inputs.size))
    return {
        "epochs": record.epochs,
        "train_images": len(context.train),
        "seconds": record.seconds,
        "device": record.device,
        "cache": images.description,
        "images_per_second": record.epochs * len(context.train) / max(record.seconds, 1e-9),
        "parameters": count_parameters(network),
        "layers": [_as_layer(layer) for layer in layers],
    }


def _as_layer(layer: LayerSummary) -> LayerInfo:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "details": layer.details,
        "output": list(layer.output),
        "parameters": layer.parameters,
    }


def _make_classifier(context: StudyContext, class_targets: ClassificationTargets, seed: int) -> PublishedClassifier:
    torch.manual_seed(seed)
    recipe = context.recipe
    return PublishedClassifier(
        size=recipe.input.size,
        channels=recipe.input.channels.depth,
        classes=len(class_targets.classes),
        activation=recipe.classifier.activation,
    )


@torch.no_grad()
def _predict_logits(network: PublishedClassifier, images: ImageCache, rows: Sequence[int]) -> Probabilities:
    """Predict the scores before the softmax, float64 (rows, classes)."""
    network.eval()
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    logits = np.concatenate(
        [network.logits(images_to_float(torch.from_numpy(images.batch(batch)))).double().numpy() for batch in batches]
    )
    require_finite("the classifier's logits", logits, _DIVERGED)
    return logits


def _softmax(logits: Probabilities) -> Probabilities:
    return np.asarray(torch.from_numpy(logits).softmax(dim=1).numpy(), np.float64)


def _evaluate(stage: Stage, context: StudyContext, network: PublishedClassifier, training: TrainingInfo | None) -> None:
    """Evaluate a classifier on the test rows, and save the stage's result and predictions."""
    class_targets = _stage_targets(stage, context)
    logits = _predict_logits(network, _stage_images(stage, context), context.test)
    probabilities = _softmax(logits)
    targets = np.array([class_targets.targets[row] for row in context.test])
    result: ClassificationResult = {
        "kind": "classification",
        "title": stage.heading,
        "classes": list(class_targets.classes),
        "metrics": classification_metrics(targets, probabilities, class_targets.classes),
        "published": PUBLISHED_RESULTS.get(stage),
        "confusion": confusion_matrix(targets, probabilities, class_targets.classes),
        "roc": roc_curves(targets, probabilities, class_targets.classes),
        "training": training,
    }
    validation_table = None
    if context.validation:
        validation_logits = _predict_logits(network, _stage_images(stage, context), context.validation)
        validation_table = _prediction_table(stage, context, context.validation, validation_logits)
    context.folder.save_stage(stage, result, _prediction_table(stage, context, context.test, logits), validation_table)


def _prediction_table(stage: Stage, context: StudyContext, rows: Sequence[int], logits: Probabilities) -> pd.DataFrame:
    """Make the table of a stage's predictions for some rows."""
    classes = _stage_targets(stage, context).classes
    probabilities = _softmax(logits)
    table = pd.DataFrame({"row": [context.sheet.rows[row].number for row in rows]})
    if is_ok_defect(classes):
        defect = classes.index(Label.DEFECT)
        table[f"p_defect_{stage}"] = probabilities[:, defect].round(6)
        table[f"logit_{stage}"] = (logits[:, defect] - logits[:, 1 - defect]).round(6)
    else:
        for index, name in enumerate(classes):
            table[f"p_{name}"] = probabilities[:, index].round(6)
    table[f"said_{stage}"] = [classes[index] for index in logits.argmax(axis=1)]
    return table
