"""Classification measures of predicted probabilities: confusion matrix, ROC curves and the measures of the tables."""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from clearcast.core.numbers import require_finite
from clearcast.metrics.bootstrap import ClassIndices, FloatArray
from clearcast.metrics.results import ClassificationMetrics, RocCurve
from clearcast.types import Label

Probabilities = FloatArray  # shape (images, classes)


def classification_metrics(
    targets: ClassIndices, probabilities: Probabilities, classes: Sequence[str]
) -> ClassificationMetrics:
    """Compute accuracy, precision, recall, F1 and ROC area; the prediction is the class of the highest probability.

    A measure with a denominator of zero is undefined (None): sensitivity and F1 of defect if no defect was tested, a
    precision if nothing was predicted to be of the class. Classes without an image have no weight.

    Args:
        targets: shape (images,), indices into ``classes``.
        probabilities: shape (images, classes), each row in 0..1 and summing to 1.
        classes: the names; if they are ok and defect, defect is the positive class.

    Raises:
        ValueError: there is no image.
        ModelOutputError: a probability is not finite.
    """
    require_finite("probabilities", probabilities)
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = _class_measures(targets, predicted, len(classes))
    result: ClassificationMetrics = {
        "images": len(targets),
        "accuracy": float(metrics.accuracy_score(targets, predicted)),
        "precision": _weighted_mean(precision, support),
        "recall": _weighted_mean(recall, support),
        "f1": _weighted_mean(f1, support),
        "roc_area": mean_roc_area(roc_curves(targets, probabilities, classes), len(classes)),
    }
    if is_ok_defect(classes):
        ok, defect = (list(classes).index(label) for label in (Label.OK, Label.DEFECT))
        result["defect_precision"] = _none_if_nan(precision[defect])
        result["defect_f1"] = _none_if_nan(f1[defect])
        result["sensitivity"] = _none_if_nan(recall[defect])
        result["specificity"] = _none_if_nan(recall[ok])
    return result


def confusion_matrix(targets: ClassIndices, probabilities: Probabilities, classes: Sequence[str]) -> list[list[int]]:
    """Count images by true class (rows) and predicted class (columns)."""
    counts = metrics.confusion_matrix(targets, probabilities.argmax(axis=1), labels=range(len(classes)))
    return [[int(count) for count in row] for row in counts]


def roc_curves(targets: ClassIndices, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, RocCurve]:
    """Compute the ROC curve of defect, or of each class against the rest; none for an absent or an only class."""
    curves: dict[str, RocCurve] = {}
    for index, name in enumerate(classes):
        positive = targets == index
        if (is_ok_defect(classes) and name != Label.DEFECT) or positive.all() or not positive.any():
            continue
        fpr, tpr, _ = metrics.roc_curve(positive, probabilities[:, index])
        curves[name] = {"fpr": fpr.tolist(), "tpr": tpr.tolist(), "area": float(metrics.auc(fpr, tpr))}
    return curves


def mean_roc_area(curves: dict[str, RocCurve], classes: int) -> float | None:
    """Average the areas of the curves (for ok/defect: that of defect); None if a class has no curve."""
    if len(curves) != (1 if set(curves) == {Label.DEFECT.value} else classes):
        return None
    return float(np.mean([curve["area"] for curve in curves.values()]))


def is_ok_defect(classes: Sequence[str]) -> bool:
    """Check whether the classes are ok and defect."""
    return set(classes) == {label.value for label in Label}


def _class_measures(
    targets: ClassIndices, predicted: ClassIndices, classes: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Compute precision, recall, F1 (NaN if undefined) and the images of each class; each of shape (classes,)."""
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        targets, predicted, labels=range(classes), zero_division=np.nan
    )
    # If the class has images, F1 = 2 TP / (2 TP + FP + FN) is defined even if nothing was predicted to be of it.
    return precision, recall, np.where(support > 0, np.nan_to_num(f1), np.nan), support


def _weighted_mean(values: FloatArray, support: FloatArray) -> float | None:
    """Average over the classes that have images, weighted by their number."""
    return _none_if_nan(np.average(values[support > 0], weights=support[support > 0]))


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
