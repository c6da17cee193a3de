"""Measures of verdicts, by scikit-learn's implementations."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from clearcast.checks import require_finite
from clearcast.domain import Label
from clearcast.evaluation.results import ClassificationMetrics, Roc

Probabilities = NDArray[np.float64]
Targets = NDArray[np.int64]


def classification_metrics(
    targets: Targets, probabilities: Probabilities, classes: Sequence[str]
) -> ClassificationMetrics:
    """Measure verdicts: the class of the highest probability against the true one.

    Args:
        targets: shape (images,), indices into ``classes``.
        probabilities: shape (images, classes), each row in 0..1 and summing to 1.
        classes: the names; where ``defect`` is among two of them, it is the positive class.

    Raises:
        ValueError: there is no image.
        ModelOutputError: a probability is not finite.
    """
    require_finite("probabilities", probabilities)
    said = probabilities.argmax(axis=1)
    labels = range(len(classes))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        targets, said, labels=labels, average="weighted", zero_division=0.0
    )
    result: ClassificationMetrics = {
        "images": len(targets),
        "accuracy": float(metrics.accuracy_score(targets, said)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "roc_area": roc_area(roc_curves(targets, probabilities, classes), len(classes)),
    }
    if is_verdict(classes):
        _add_defect_measures(result, targets, said, classes)
    return result


def confusion_matrix(targets: Targets, probabilities: Probabilities, classes: Sequence[str]) -> list[list[int]]:
    """Counts of images: rows are the true classes, columns what was said."""
    counts = metrics.confusion_matrix(targets, probabilities.argmax(axis=1), labels=range(len(classes)))
    return [[int(count) for count in row] for row in counts]


def roc_curves(targets: Targets, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, Roc]:
    """The curve of the defect class, or of each class against the rest; a class that is absent or alone has none."""
    curves: dict[str, Roc] = {}
    for index, name in enumerate(classes):
        positive = targets == index
        if (is_verdict(classes) and name != Label.DEFECT) or positive.all() or not positive.any():
            continue
        fpr, tpr, _ = metrics.roc_curve(positive, probabilities[:, index])
        curves[name] = {"fpr": fpr.tolist(), "tpr": tpr.tolist(), "area": float(metrics.auc(fpr, tpr))}
    return curves


def roc_area(curves: dict[str, Roc], classes: int) -> float | None:
    """The defect class's area, or the plain mean over all classes; None where one of them has no curve."""
    if len(curves) != (1 if set(curves) == {Label.DEFECT.value} else classes):
        return None
    return float(np.mean([curve["area"] for curve in curves.values()]))


def is_verdict(classes: Sequence[str]) -> bool:
    """Whether the classes are ok and defect, of which defect is the positive one."""
    return set(classes) == {label.value for label in Label}


def _add_defect_measures(
    result: ClassificationMetrics, targets: Targets, said: Targets, classes: Sequence[str]
) -> None:
    defect, true = said == list(classes).index(Label.DEFECT), targets == list(classes).index(Label.DEFECT)
    result["defect_precision"] = float(metrics.precision_score(true, defect, zero_division=0.0))
    result["defect_f1"] = float(metrics.f1_score(true, defect, zero_division=0.0))
    result["sensitivity"] = float(metrics.recall_score(true, defect, zero_division=0.0))
    result["specificity"] = float(metrics.recall_score(~true, ~defect, zero_division=0.0))
