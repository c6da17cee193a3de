"""Builder of a run's evidence from its tables."""

import pandas as pd

from clearcast.domain import Label
from clearcast.evaluation.evidence.classification import classification_figures
from clearcast.evaluation.evidence.comparisons import comparisons
from clearcast.evaluation.evidence.contract import Decision, Evidence
from clearcast.evaluation.evidence.decisions import decision
from clearcast.evaluation.evidence.restoration import gain_figures, restoration_figures
from clearcast.evaluation.evidence.robustness import robustness_curves
from clearcast.evaluation.evidence.tables import VERDICTS, judged
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.evidence.words import counted
from clearcast.evaluation.statistics.sample import Sample
from clearcast.progress import Progress

FORMAT = 1


def gather_evidence(
    test: pd.DataFrame,
    validation: pd.DataFrame | None,
    robustness: pd.DataFrame | None,
    policy: Wishes,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evidence:
    """Build the evidence of a run: intervals, comparisons, decisions and robustness.

    Args:
        test: ``predictions.csv``, with at least one row.
        validation: ``validation.csv``; None or empty if there is none, and then nothing is chosen.
        robustness: ``robustness.csv``; None or empty if it was not measured.
        policy: costs of mistakes, or allowed rates.
        seed: of the resamples; the same seed gives the same evidence.
        progress: called with (done, all) stages.

    Raises:
        ValueError: there is no test image.
    """
    sample = Sample(test["part"].to_numpy(str), seed=seed)
    evidence: Evidence = {
        "format": FORMAT,
        "images": sample.images,
        "parts": sample.groups,
        "parts_by_label": {label.value: int(test["part"][test["label"] == label].nunique()) for label in Label},
        "independent": sample.independent,
        "method": _method_text(sample),
        "classification": classification_figures(test, seed),
        "restoration": restoration_figures(test, sample),
        "comparisons": comparisons(test, seed),
        "decisions": _decisions(test, validation, policy, seed, progress),
        "robustness": {} if robustness is None else robustness_curves(robustness, seed),
    }
    if {"psnr_noisy", "psnr_denoised"} <= set(test):
        evidence["gain"] = gain_figures(test, sample)
    return evidence


def _decisions(
    test: pd.DataFrame, validation: pd.DataFrame | None, policy: Wishes, seed: int, progress: Progress | None
) -> dict[str, Decision]:
    decisions = {}
    for number, stage in enumerate(VERDICTS, start=1):
        if scores := judged(test, stage):
            validation_scores = None if validation is None else judged(validation, stage)
            decisions[stage.value] = decision(scores, validation_scores, policy, seed)
        if progress:
            progress(number, len(VERDICTS))
    return decisions


def _method_text(sample: Sample) -> str:
    parts = counted(sample.groups, "part")
    if sample.groups < 2:
        return "All test images show one part: there are no intervals, since they give no information on other parts."
    if sample.independent:
        return (
            "No part has two test images: 95% intervals of shares are Wilson's; those of differences and means are "
            f"Student's t, with the variance over {sample.resamples:,} resamples of the {parts}."
        )
    return (
        f"The {counted(sample.images, 'test image')} show {parts}. The 95% intervals account for this: their variance "
        f"comes from {sample.resamples:,} resamples of parts, each with all its images (cluster bootstrap). Shares "
        "have Wilson's interval with the effective number of independent images, differences and means Student's t."
    )
