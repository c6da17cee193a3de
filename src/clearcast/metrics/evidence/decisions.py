"""Decisions of a stage: thresholds and retakes chosen on validation images, and their rates on test images."""

import math
from dataclasses import dataclass

import numpy as np

from clearcast.core.evidence_schema import DecisionResult, OperatingPoint, RetakeResult, ValueWithCI
from clearcast.core.numbers import format_count
from clearcast.metrics.bootstrap import BoolArray, ClusterBootstrap, share_interval
from clearcast.metrics.calibration import fit_fold_temperatures, measure_calibration
from clearcast.metrics.evidence.scores import (
    DecisionPolicy,
    StageScores,
    format_limit,
    format_percent,
    format_share,
    value_with_ci,
    values_by_fold,
)
from clearcast.metrics.evidence.thresholds import (
    choose_retake_cutoff,
    choose_threshold,
    compute_operating_curve,
    compute_risk_curve,
    measure_operating_point,
    measure_retake,
    verdict_confidence,
)
from clearcast.types import Label

_DEFAULT_MAX_ESCAPE = 0.01  # escape rate that the sentence refers to if the policy has none
_DEFAULT_THRESHOLD = 0.5  # of the study's own verdicts


@dataclass(frozen=True, kw_only=True)
class DecisionChoice:
    """Decision parameters chosen on validation images, by fold.

    Attributes:
        temperatures: divisors of the log-odds; thresholds and cut-offs apply to the calibrated log-odds.
        thresholds: probability from which an image is a defect.
        cutoffs: confidence below which an image is retaken, at least 0; None if the policy has no retakes.
    """

    temperatures: dict[int, float]
    thresholds: dict[int, float]
    cutoffs: dict[int, float] | None


@dataclass(frozen=True, kw_only=True)
class RateWithCI:
    """A count among a number of images, and the share with its interval."""

    count: int
    images: int
    share: ValueWithCI


@dataclass(frozen=True, kw_only=True)
class DecisionOutcome:
    """Rates of a decision rule.

    Attributes:
        escapes: defects called ok, of all defects.
        overkills: ok images called defect, of all ok images.
        retaken: retaken images, of all images.
        wrong: wrong verdicts, of the verdicts ok and defect.
    """

    escapes: RateWithCI
    overkills: RateWithCI
    retaken: RateWithCI
    wrong: RateWithCI


def choose_decision(validation: StageScores, policy: DecisionPolicy) -> DecisionChoice:
    """Choose temperatures, thresholds and cut-offs on validation images; each fold needs images of both labels."""
    temperatures = fit_fold_temperatures(validation)
    calibrated = validation.calibrated(temperatures)
    folds = {fold: calibrated.of_fold(fold) for fold in calibrated.folds}
    thresholds = {fold: choose_threshold(rows.probability, rows.defect, policy) for fold, rows in folds.items()}
    if policy.max_risk is None and policy.min_coverage is None:
        return DecisionChoice(temperatures=temperatures, thresholds=thresholds, cutoffs=None)
    cutoffs = {}
    for fold, rows in folds.items():
        wrong = _predict_defect(rows, thresholds) != rows.defect
        cutoffs[fold] = choose_retake_cutoff(verdict_confidence(rows, thresholds), wrong, policy)
    return DecisionChoice(temperatures=temperatures, thresholds=thresholds, cutoffs=cutoffs)


def measure_decision(
    test: StageScores, validation: StageScores | None, policy: DecisionPolicy, seed: int
) -> DecisionResult:
    """Choose on validation images and measure on test images; without validation images only measure."""
    sample = ClusterBootstrap(test.part, seed=seed)
    plain = measure_operating_point(test, test.predicted, [_DEFAULT_THRESHOLD] * len(test.folds), sample)
    if validation is None:
        return _measure_without_choice(test, plain, policy, sample, "No validation images: give --validation-share")
    validation = validation.only_folds(test.folds)
    if reason := _no_choice_reason(test, validation):
        return _measure_without_choice(test, plain, policy, sample, reason)
    return _measure_with_choice(test, validation, plain, policy, sample)


def _measure_with_choice(
    test: StageScores, validation: StageScores, plain: OperatingPoint, policy: DecisionPolicy, sample: ClusterBootstrap
) -> DecisionResult:
    choice = choose_decision(validation, policy)
    temperatures, thresholds = choice.temperatures, choice.thresholds
    calibrated, calibrated_validation = test.calibrated(temperatures), validation.calibrated(temperatures)
    predicted = _predict_defect(calibrated, thresholds)
    validation_predicted = _predict_defect(calibrated_validation, thresholds)
    chosen = measure_operating_point(calibrated, predicted, list(thresholds.values()), sample)
    return {
        "asked": _policy_text(policy),
        "calibration": measure_calibration(test, validation, temperatures, sample),
        "plain": plain,
        "chosen": chosen,
        "curve": compute_operating_curve(calibrated, sample),
        "risk": compute_risk_curve(verdict_confidence(calibrated, thresholds), predicted != test.defect, sample),
        "retake": _measure_chosen_retake(calibrated, predicted, choice, policy, sample),
        "sentence": _choice_text(chosen, calibrated, predicted, calibrated_validation, validation_predicted, policy),
    }


def _measure_without_choice(
    test: StageScores, plain: OperatingPoint, policy: DecisionPolicy, sample: ClusterBootstrap, reason: str
) -> DecisionResult:
    confidences = verdict_confidence(test, dict.fromkeys(test.folds, _DEFAULT_THRESHOLD))
    return {
        "asked": _policy_text(policy),
        "calibration": None,
        "plain": plain,
        "chosen": None,
        "curve": compute_operating_curve(test, sample),
        "risk": compute_risk_curve(confidences, test.predicted != test.defect, sample),
        "retake": None,
        "sentence": _no_choice_text(reason, plain),
    }


def _no_choice_reason(test: StageScores, validation: StageScores) -> str | None:
    """Explain why nothing can be chosen on the validation images; None if it can."""
    for fold in test.folds:
        defect = validation.of_fold(fold).defect
        of_fold = f" of fold {fold}" if len(test.folds) > 1 else ""
        if not len(defect):
            return f"No validation images{of_fold}: give --validation-share"
        if defect.all() or not defect.any():
            label = Label.DEFECT if defect.all() else Label.OK
            return (
                f"All validation images{of_fold} are {label}, so nothing was chosen: give a larger --validation-share"
            )
    return None


def _predict_defect(scores: StageScores, thresholds: dict[int, float]) -> BoolArray:
    predicted: BoolArray = scores.probability >= values_by_fold(thresholds, scores.fold)
    return predicted


def _measure_chosen_retake(
    calibrated: StageScores,
    predicted: BoolArray,
    choice: DecisionChoice,
    policy: DecisionPolicy,
    sample: ClusterBootstrap,
) -> RetakeResult | None:
    if choice.cutoffs is None:
        return None
    confidences = verdict_confidence(calibrated, choice.thresholds)
    return measure_retake(confidences, predicted != calibrated.defect, choice.cutoffs, calibrated, policy, sample)


def measure_outcome(
    scores: StageScores, threshold: float, retake_distance: float, sample: ClusterBootstrap
) -> DecisionOutcome:
    """Measure the decision rule of a threshold and a retake distance.

    Args:
        scores: the images; with calibrated log-odds if ``threshold`` is a calibrated probability.
        threshold: probability above which an image is a defect, above 0 and below 1.
        retake_distance: images whose log-odds are nearer to those of the threshold are retaken, at least 0.
        sample: of the same images.
    """
    decided = verdict_confidence(scores, dict.fromkeys(scores.folds, threshold)) >= retake_distance
    predicted, defect = scores.probability > threshold, scores.defect
    return DecisionOutcome(
        escapes=_rate_with_ci(decided & ~predicted, defect, sample),
        overkills=_rate_with_ci(decided & predicted, ~defect, sample),
        retaken=_rate_with_ci(~decided, np.ones(len(decided), bool), sample),
        wrong=_rate_with_ci(predicted != defect, decided, sample),
    )


def _rate_with_ci(counted: BoolArray, among: BoolArray, sample: ClusterBootstrap) -> RateWithCI:
    share = value_with_ci(sample.estimate_ratios(counted, among), share_interval)
    return RateWithCI(count=int((counted & among).sum()), images=int(among.sum()), share=share)


def _policy_text(policy: DecisionPolicy) -> str:
    """Describe the policy that the threshold was chosen by.

    >>> _policy_text(DecisionPolicy(escape_cost=10))
    'an escape costs 10, an overkill 1'
    >>> _policy_text(DecisionPolicy(max_escape=0.01))
    'at most 1% escapes'
    """
    if policy.max_escape is not None:
        return f"at most {format_limit(policy.max_escape)} escapes"
    if policy.escape_cost == policy.overkill_cost == 1:
        return "an escape costs as much as an overkill (the default)"
    return f"an escape costs {policy.escape_cost:g}, an overkill {policy.overkill_cost:g}"


def _choice_text(
    point: OperatingPoint,
    test: StageScores,
    predicted: BoolArray,
    validation: StageScores,
    validation_predicted: BoolArray,
    policy: DecisionPolicy,
) -> str:
    """Describe a chosen threshold: its effect on test images, and the escape rate that the images support.

    Args:
        point: rates of the choice on test images.
        test: the test images.
        predicted: shape (test images,), whether the choice calls them defects.
        validation: the validation images.
        validation_predicted: shape (validation images,), whether the choice calls them defects.
        policy: what the choice was made by.
    """
    max_escape = _DEFAULT_MAX_ESCAPE if policy.max_escape is None else policy.max_escape
    images = format_count(len(validation.part), "validation image")
    sentences = [
        f"Chosen on {images}: {_policy_text(policy)}.",
        f"On test images {_mistakes_text(point)}.",
        f"{_escapes_text('validation', validation, validation_predicted)}.",
    ]
    if point["defects"] and not point["escapes"]:
        sentences.append(f"{_escapes_text('test', test, predicted)}.")
    if 0 < max_escape < 1:
        needed = math.ceil(3 / max_escape - 1e-9)
        sentences.append(
            f"A claim of at most {format_limit(max_escape)} escapes requires about {needed:,} defect parts without an "
            "escape."
        )
    return " ".join(sentences)


def _no_choice_text(reason: str, point: OperatingPoint) -> str:
    """Explain why nothing was chosen, with the mistakes of the study's own verdicts."""
    return f"{reason}. At the threshold 0.5, {_mistakes_text(point)}."


def _mistakes_text(point: OperatingPoint) -> str:
    escapes = _rate_text(point["escapes"], point["defects"], "defect", point["escape"])
    overkills = _rate_text(point["overkills"], point["oks"], "ok image", point["overkill"])
    return f"escapes are {escapes}, overkills {overkills}"


def _rate_text(mistakes: int, images: int, noun: str, rate: ValueWithCI) -> str:
    if not images:
        return f"unknown, since there is no {noun}"
    return f"{mistakes:,} of {format_count(images, noun)} ({format_share(rate)})"


def _escapes_text(subset: str, scores: StageScores, predicted: BoolArray) -> str:
    """Count escapes by part, since images of one part escape together; rule of three (Hanley 1983) without escapes."""
    parts = scores.parts_of(scores.defect)
    escaped = scores.parts_of(scores.defect & ~predicted)
    defect_parts = f"{format_count(parts, 'defect part')} of the {subset} images"
    if escaped:
        return f"Images of {escaped:,} of the {defect_parts} escape"
    upper_bound = f"{format_percent(min(1.0, 3 / parts))} (3/{parts:,})"
    return f"No image of the {defect_parts} escapes, which supports at most {upper_bound}"
