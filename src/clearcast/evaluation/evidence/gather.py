"""Make the evidence from a run's tables."""

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
    wishes: Wishes,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evidence:
    """How sure a run's figures are and which decisions they allow.

    Args:
        test: ``predictions.csv``, with at least one row.
        validation: ``validation.csv``; None or empty where there is none, and then nothing is chosen.
        robustness: ``robustness.csv``; None or empty where it was not measured.
        wishes: what mistakes cost, or how many are allowed.
        seed: of the resamples; the same seed gives the same evidence.
        progress: called with (done, all) stages.

    Raises:
        ValueError: there is no test image.
    """
    sample = Sample(test["part"].to_numpy(str), seed=seed)
    evidence: Evidence = {
        "format": FORMAT,
        "images": sample.images,
        "parts": sample.parts,
        "parts_by_label": {label.value: int(test["part"][test["label"] == label].nunique()) for label in Label},
        "independent": sample.independent,
        "method": _method(sample),
        "classification": classification_figures(test, seed),
        "restoration": restoration_figures(test, sample),
        "comparisons": comparisons(test, seed),
        "decisions": _decisions(test, validation, wishes, seed, progress),
        "robustness": {} if robustness is None else robustness_curves(robustness, seed),
    }
    if {"psnr_noisy", "psnr_denoised"} <= set(test):
        evidence["gain"] = gain_figures(test, sample)
    return evidence


def _decisions(
    test: pd.DataFrame, validation: pd.DataFrame | None, wishes: Wishes, seed: int, progress: Progress | None
) -> dict[str, Decision]:
    decisions = {}
    for number, stage in enumerate(VERDICTS, start=1):
        if said := judged(test, stage):
            known = None if validation is None else judged(validation, stage)
            decisions[stage.value] = decision(said, known, wishes, seed)
        if progress:
            progress(number, len(VERDICTS))
    return decisions


def _method(sample: Sample) -> str:
    parts = counted(sample.parts, "part")
    if sample.parts < 2:
        return "All test images show one part: there are no intervals, since nothing is known of other parts."
    if sample.independent:
        return (
            "No part has two test images: 95% intervals of shares are Wilson's; those of differences and means are "
            f"Student's t, with the spread over {sample.resamples:,} resamples of the {parts}."
        )
    return (
        f"95% intervals respect that the {counted(sample.images, 'test image')} show {parts}: the spread is that over "
        f"{sample.resamples:,} resamples of parts, each with all its images (cluster bootstrap). Shares have Wilson's "
        "interval for as many independent images as that spread allows, differences and means Student's t."
    )
