"""Classification measures against hand-made cases and torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional import classification as reference

from clearcast.metrics.classification import classification_metrics, confusion_matrix, roc_curves

VERDICT = ("ok", "defect")
NOISES = ("gaussian", "salt_and_pepper", "periodic")


def binary(*p_defect: float) -> np.ndarray:
    return np.array([[1 - p, p] for p in p_defect])


def test_measures_of_hand_made_predictions() -> None:
    targets = np.array([1, 1, 1, 0, 0])
    probabilities = binary(0.9, 0.8, 0.3, 0.6, 0.1)  # one escape, one overkill
    result = classification_metrics(targets, probabilities, VERDICT)
    assert confusion_matrix(targets, probabilities, VERDICT) == [[1, 1], [1, 2]]
    assert result["accuracy"] == pytest.approx(3 / 5)
    assert result["sensitivity"] == pytest.approx(2 / 3)
    assert result["specificity"] == pytest.approx(1 / 2)
    assert result["defect_precision"] == pytest.approx(2 / 3)
    assert result["precision"] == pytest.approx((2 * 1 / 2 + 3 * 2 / 3) / 5)
    assert result["roc_area"] == pytest.approx(5 / 6)  # of six pairs, only (0.3, 0.6) is in the wrong order


def test_a_class_that_is_absent_has_no_curve() -> None:
    result = classification_metrics(np.array([0, 0]), binary(0.1, 0.9), VERDICT)
    assert result["roc_area"] is None
    three = np.eye(3)[[0, 1, 0]]
    assert set(roc_curves(np.array([0, 1, 1]), three, NOISES)) == {"gaussian", "salt_and_pepper"}
    assert classification_metrics(np.array([0, 1, 1]), three, NOISES)["roc_area"] is None


def test_measures_without_a_denominator_are_undefined() -> None:
    only_ok = classification_metrics(np.array([0, 0]), binary(0.1, 0.9), VERDICT)
    assert only_ok["sensitivity"] is only_ok["defect_f1"] is None  # no defect could be found
    assert only_ok["defect_precision"] == 0  # one was predicted to be a defect, wrongly
    assert only_ok["specificity"] == only_ok["accuracy"] == only_ok["recall"] == 0.5
    only_defect = classification_metrics(np.array([1, 1]), binary(0.1, 0.2), VERDICT)
    assert only_defect["specificity"] is None
    assert only_defect["defect_precision"] is only_defect["precision"] is None  # none was predicted to be a defect
    assert only_defect["sensitivity"] == only_defect["defect_f1"] == only_defect["f1"] == 0


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([VERDICT, NOISES]), st.integers(6, 60))
def test_equals_torchmetrics(seed: int, classes: tuple[str, ...], images: int) -> None:
    rng = np.random.default_rng(seed)
    targets = np.append(np.arange(len(classes)), rng.integers(0, len(classes), images))
    probabilities = rng.dirichlet(np.ones(len(classes)), len(targets))
    ours = classification_metrics(targets, probabilities, classes)
    p, t, n = torch.from_numpy(probabilities), torch.from_numpy(targets), len(classes)
    if len(set(probabilities.argmax(axis=1))) < n:
        assert ours["precision"] is None  # torchmetrics returns 0
        return
    for name, theirs in (
        ("accuracy", reference.multiclass_accuracy(p, t, n, average="micro")),
        ("precision", reference.multiclass_precision(p, t, n, average="weighted")),
        ("recall", reference.multiclass_recall(p, t, n, average="weighted")),
        ("f1", reference.multiclass_f1_score(p, t, n, average="weighted")),
    ):
        assert ours[name] == pytest.approx(float(theirs), abs=1e-6)  # type: ignore[literal-required]
    area = (
        reference.binary_auroc(p[:, 1], t)
        if classes is VERDICT
        else reference.multiclass_auroc(p, t, n, average="macro")
    )
    assert ours["roc_area"] == pytest.approx(float(area), abs=1e-6)
    counts = reference.multiclass_confusion_matrix(p, t, n)
    assert confusion_matrix(targets, probabilities, classes) == counts.tolist()
