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
Floats = NDArray[np.float64]


def classification_metrics(
    targets: Targets, probabilities: Probabilities, classes: Sequence[str]
) -> ClassificationMetrics:
    """Measure verdicts: the class of the highest probability against the true one.

    A measure whose denominator is zero is not defined, and None: so are sensitivity and F1 of defect where no defect
    was tested, and a precision where nothing was said to be of the class. Classes without an image weigh nothing.

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
    precision, recall, f1, support = _class_measures(targets, said, len(classes))
    result: ClassificationMetrics = {
        "images": len(targets),
        "accuracy": float(metrics.accuracy_score(targets, said)),
        "precision": _weighted(precision, support),
        "recall": _weighted(recall, support),
        "f1": _weighted(f1, support),
        "roc_area": roc_area(roc_curves(targets, probabilities, classes), len(classes)),
    }
    if is_verdict(classes):
        ok, defect = (list(classes).index(label) for label in (Label.OK, Label.DEFECT))
        result["defect_precision"] = _number(precision[defect])
        result["defect_f1"] = _number(f1[defect])
        result["sensitivity"] = _number(recall[defect])
        result["specificity"] = _number(recall[ok])
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


def _class_measures(targets: Targets, said: Targets, classes: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Precision, recall and F1 of each class, NaN where not defined, and its images; each of shape (classes,)."""
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        targets, said, labels=range(classes), zero_division=np.nan
    )
    # With images of the class F1 is 2 TP / (2 TP + FP + FN), defined also where nothing was said to be of it.
    return precision, recall, np.where(support > 0, np.nan_to_num(f1), np.nan), support


def _weighted(values: Floats, support: Floats) -> float | None:
    """The mean over the classes that have images, weighted by these."""
    return _number(np.average(values[support > 0], weights=support[support > 0]))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
