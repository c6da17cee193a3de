"""Builder of ``evidence.json`` from the tables of a run."""

import pandas as pd

from clearcast.core.console import ProgressCallback
from clearcast.core.evidence_schema import DecisionResult, Evidence
from clearcast.core.numbers import format_count
from clearcast.metrics.bootstrap import ClusterBootstrap
from clearcast.metrics.evidence.comparison import compare_stages
from clearcast.metrics.evidence.decisions import measure_decision
from clearcast.metrics.evidence.estimates import (
    build_robustness_curves,
    estimate_classification,
    estimate_gain,
    estimate_quality,
)
from clearcast.metrics.evidence.scores import VERDICT_STAGES, DecisionPolicy, read_stage_scores
from clearcast.types import Label

EVIDENCE_FORMAT = 1


def build_evidence(
    test: pd.DataFrame,
    validation: pd.DataFrame | None,
    robustness: pd.DataFrame | None,
    policy: DecisionPolicy,
    *,
    seed: int = 0,
    progress: ProgressCallback | None = None,
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
    sample = ClusterBootstrap(test["part"].to_numpy(str), seed=seed)
    evidence: Evidence = {
        "format": EVIDENCE_FORMAT,
        "images": sample.images,
        "parts": sample.groups,
        "parts_by_label": {label.value: int(test["part"][test["label"] == label].nunique()) for label in Label},
        "independent": sample.independent,
        "method": _method_text(sample),
        "classification": estimate_classification(test, seed),
        "restoration": estimate_quality(test, sample),
        "comparisons": compare_stages(test, seed),
        "decisions": _measure_decisions(test, validation, policy, seed, progress),
        "robustness": {} if robustness is None else build_robustness_curves(robustness, seed),
    }
    if {"psnr_noisy", "psnr_denoised"} <= set(test):
        evidence["gain"] = estimate_gain(test, sample)
    return evidence


def _measure_decisions(
    test: pd.DataFrame,
    validation: pd.DataFrame | None,
    policy: DecisionPolicy,
    seed: int,
    progress: ProgressCallback | None,
) -> dict[str, DecisionResult]:
    decisions = {}
    for number, stage in enumerate(VERDICT_STAGES, start=1):
        if scores := read_stage_scores(test, stage):
            validation_scores = None if validation is None else read_stage_scores(validation, stage)
            decisions[stage.value] = measure_decision(scores, validation_scores, policy, seed)
        if progress:
            progress(number, len(VERDICT_STAGES))
    return decisions


def _method_text(sample: ClusterBootstrap) -> str:
    parts = format_count(sample.groups, "part")
    if sample.groups < 2:
        return "All test images show one part: there are no intervals, since they give no information on other parts."
    if sample.independent:
        return (
            "No part has two test images: 95% intervals of shares are Wilson's; those of differences and means are "
            f"Student's t, with the variance over {sample.resamples:,} resamples of the {parts}."
        )
    return (
        f"The {format_count(sample.images, 'test image')} show {parts}. The 95% intervals account for this: their "
        f"variance comes from {sample.resamples:,} resamples of parts, each with all its images (cluster bootstrap). "
        "Shares have Wilson's interval with the effective number of independent images, differences and means "
        "Student's t."
    )
