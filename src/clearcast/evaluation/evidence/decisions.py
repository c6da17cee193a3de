"""Decisions from the verdicts of one stage: calibration, a chosen threshold, and images to retake.

Choices are made on validation images and measured on test images, never on the same images. In a run of several folds
each fold is calibrated and chosen for on its own validation images, and the test images are pooled.
"""

from dataclasses import dataclass

from clearcast.domain import Label
from clearcast.evaluation.evidence.calibrate import calibration, fit_temperatures
from clearcast.evaluation.evidence.contract import Decision, OperatingPoint, Retake
from clearcast.evaluation.evidence.promises import asked_for, choice_sentence, no_choice_sentence
from clearcast.evaluation.evidence.retake import choose_cutoff, confidence, retake, risk_curve
from clearcast.evaluation.evidence.tables import Judged, by_fold
from clearcast.evaluation.evidence.thresholds import choose_threshold, operating_curve, operating_point
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.statistics.sample import Flags, Sample

_DEFAULT_THRESHOLD = 0.5  # of the study's own verdicts


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Decision parameters chosen on validation images, by fold.

    Attributes:
        temperatures: divisors of the log-odds; thresholds and cut-offs apply to the calibrated log-odds.
        thresholds: probability from which an image is a defect.
        cutoffs: confidence below which an image is retaken, at least 0; None if the policy has no retakes.
    """

    temperatures: dict[int, float]
    thresholds: dict[int, float]
    cutoffs: dict[int, float] | None


def choose(validation: Judged, policy: Wishes) -> Choice:
    """Choose temperatures, thresholds and cut-offs on validation images; each fold needs images of both labels."""
    temperatures = fit_temperatures(validation)
    calibrated = validation.calibrated(temperatures)
    folds = {fold: calibrated.of_fold(fold) for fold in calibrated.folds}
    thresholds = {fold: choose_threshold(rows.probability, rows.defect, policy) for fold, rows in folds.items()}
    if policy.max_risk is None and policy.min_coverage is None:
        return Choice(temperatures=temperatures, thresholds=thresholds, cutoffs=None)
    cutoffs = {}
    for fold, rows in folds.items():
        wrong = _predict_defect(rows, thresholds) != rows.defect
        cutoffs[fold] = choose_cutoff(confidence(rows, thresholds), wrong, policy)
    return Choice(temperatures=temperatures, thresholds=thresholds, cutoffs=cutoffs)


def decision(test: Judged, validation: Judged | None, policy: Wishes, seed: int) -> Decision:
    """Choose on validation images and measure on test images; without validation images only measure."""
    sample = Sample(test.part, seed=seed)
    plain = operating_point(test, test.predicted, [_DEFAULT_THRESHOLD] * len(test.folds), sample)
    if validation is None:
        return _without_choice(test, plain, policy, sample, "No validation images: give --validation-share")
    validation = validation.only_folds(test.folds)
    if reason := _no_choice_reason(test, validation):
        return _without_choice(test, plain, policy, sample, reason)
    return _with_choice(test, validation, plain, policy, sample)


def _with_choice(test: Judged, validation: Judged, plain: OperatingPoint, policy: Wishes, sample: Sample) -> Decision:
    choice = choose(validation, policy)
    temperatures, thresholds = choice.temperatures, choice.thresholds
    calibrated, calibrated_validation = test.calibrated(temperatures), validation.calibrated(temperatures)
    predicted, validation_predicted = (
        _predict_defect(calibrated, thresholds),
        _predict_defect(calibrated_validation, thresholds),
    )
    chosen = operating_point(calibrated, predicted, list(thresholds.values()), sample)
    return {
        "asked": asked_for(policy),
        "calibration": calibration(test, validation, temperatures, sample),
        "plain": plain,
        "chosen": chosen,
        "curve": operating_curve(calibrated, sample),
        "risk": risk_curve(confidence(calibrated, thresholds), predicted != test.defect, sample),
        "retake": _retake(calibrated, predicted, choice, policy, sample),
        "sentence": choice_sentence(chosen, calibrated, predicted, calibrated_validation, validation_predicted, policy),
    }


def _without_choice(test: Judged, plain: OperatingPoint, policy: Wishes, sample: Sample, reason: str) -> Decision:
    confidences = confidence(test, dict.fromkeys(test.folds, _DEFAULT_THRESHOLD))
    return {
        "asked": asked_for(policy),
        "calibration": None,
        "plain": plain,
        "chosen": None,
        "curve": operating_curve(test, sample),
        "risk": risk_curve(confidences, test.predicted != test.defect, sample),
        "retake": None,
        "sentence": no_choice_sentence(reason, plain),
    }


def _no_choice_reason(test: Judged, validation: Judged) -> str | None:
    """Explain why nothing can be chosen on the validation images; None if it can."""
    for fold in test.folds:
        defect = validation.of_fold(fold).defect
        where = f" of fold {fold}" if len(test.folds) > 1 else ""
        if not len(defect):
            return f"No validation images{where}: give --validation-share"
        if defect.all() or not defect.any():
            label = Label.DEFECT if defect.all() else Label.OK
            return f"All validation images{where} are {label}, so nothing was chosen: give a larger --validation-share"
    return None


def _predict_defect(scores: Judged, thresholds: dict[int, float]) -> Flags:
    predicted: Flags = scores.probability >= by_fold(thresholds, scores.fold)
    return predicted


def _retake(calibrated: Judged, predicted: Flags, choice: Choice, policy: Wishes, sample: Sample) -> Retake | None:
    if choice.cutoffs is None:
        return None
    confidences = confidence(calibrated, choice.thresholds)
    return retake(confidences, predicted != calibrated.defect, choice.cutoffs, calibrated, policy, sample)
