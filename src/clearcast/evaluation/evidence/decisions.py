"""The verdicts of one stage as decisions: calibrated, with a chosen threshold, and with pictures to retake.

Validation images choose and test images measure: a choice never sees the images that judge it. In a run of several
folds each is calibrated and chosen for by its own validation images, and the test images are pooled.
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

_HALF = 0.5  # the threshold of the study's own verdicts


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is chosen on validation images, by fold.

    ``temperatures``: log-odds are divided by them; all the rest is of what remains. ``thresholds``: the probability
    from which an image is a defect. ``cutoffs``: the confidence below which a picture is retaken, at least 0; None
    where that was not wished for.
    """

    temperatures: dict[int, float]
    thresholds: dict[int, float]
    cutoffs: dict[int, float] | None


def choose(validation: Judged, wishes: Wishes) -> Choice:
    """Choose by validation images, of which each fold has some of both labels."""
    temperatures = fit_temperatures(validation)
    rehearsal = validation.cooled(temperatures)
    folds = {fold: rehearsal.of_fold(fold) for fold in rehearsal.folds}
    thresholds = {fold: choose_threshold(rows.probability, rows.defect, wishes) for fold, rows in folds.items()}
    if wishes.max_risk is None and wishes.min_coverage is None:
        return Choice(temperatures=temperatures, thresholds=thresholds, cutoffs=None)
    cutoffs = {}
    for fold, rows in folds.items():
        wrong = _says_defect(rows, thresholds) != rows.defect
        cutoffs[fold] = choose_cutoff(confidence(rows, thresholds), wrong, wishes)
    return Choice(temperatures=temperatures, thresholds=thresholds, cutoffs=cutoffs)


def decision(test: Judged, validation: Judged | None, wishes: Wishes, seed: int) -> Decision:
    """What a stage's verdicts are worth as decisions; nothing is chosen where validation images lack."""
    sample = Sample(test.part, seed=seed)
    plain = operating_point(test, test.said, [_HALF] * len(test.folds), sample)
    if validation is None:
        return _undecided(test, plain, wishes, sample, "No validation images: give --validation-share")
    validation = validation.only_folds(test.folds)
    if lacking := _lacking(test, validation):
        return _undecided(test, plain, wishes, sample, lacking)
    choice = choose(validation, wishes)
    temperatures, thresholds = choice.temperatures, choice.thresholds
    cooled, rehearsal = test.cooled(temperatures), validation.cooled(temperatures)
    said, rehearsed = _says_defect(cooled, thresholds), _says_defect(rehearsal, thresholds)
    chosen = operating_point(cooled, said, list(thresholds.values()), sample)
    return {
        "asked": asked_for(wishes),
        "calibration": calibration(test, validation, temperatures, sample),
        "plain": plain,
        "chosen": chosen,
        "curve": operating_curve(cooled, sample),
        "risk": risk_curve(confidence(cooled, thresholds), said != test.defect, sample),
        "retake": _retake(cooled, said, choice, wishes, sample),
        "sentence": choice_sentence(chosen, cooled, said, rehearsal, rehearsed, wishes),
    }


def _undecided(test: Judged, plain: OperatingPoint, wishes: Wishes, sample: Sample, reason: str) -> Decision:
    sureness = confidence(test, dict.fromkeys(test.folds, _HALF))
    return {
        "asked": asked_for(wishes),
        "calibration": None,
        "plain": plain,
        "chosen": None,
        "curve": operating_curve(test, sample),
        "risk": risk_curve(sureness, test.said != test.defect, sample),
        "retake": None,
        "sentence": no_choice_sentence(reason, plain),
    }


def _lacking(test: Judged, validation: Judged) -> str | None:
    """Why validation images cannot choose."""
    for fold in test.folds:
        defect = validation.of_fold(fold).defect
        where = f" of fold {fold}" if len(test.folds) > 1 else ""
        if not len(defect):
            return f"No validation images{where}: give --validation-share"
        if defect.all() or not defect.any():
            label = Label.DEFECT if defect.all() else Label.OK
            return f"All validation images{where} are {label}, so nothing was chosen: give a larger --validation-share"
    return None


def _says_defect(judged: Judged, thresholds: dict[int, float]) -> Flags:
    said: Flags = judged.probability >= by_fold(thresholds, judged.fold)
    return said


def _retake(cooled: Judged, said: Flags, choice: Choice, wishes: Wishes, sample: Sample) -> Retake | None:
    if choice.cutoffs is None:
        return None
    sureness = confidence(cooled, choice.thresholds)
    return retake(sureness, said != cooled.defect, choice.cutoffs, cooled, wishes, sample)
