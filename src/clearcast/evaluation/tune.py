"""Threshold tuning (``clearcast tune``): a bundle with the same networks and another decision rule; needs no torch.

Threshold and retake distance are chosen as in a study's evidence (``metrics/evidence/decisions.py``), on the
bundle's out-of-fold predictions. Its test rows only measure the result.
"""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from clearcast.bundle.archive import BundlePackage, copy_bundle_files, create_bundle, open_package
from clearcast.bundle.manifest import ClassifierMetadata, Manifest, write_manifest
from clearcast.bundle.signing import TrustedSigners
from clearcast.core.console import show_progress
from clearcast.core.errors import OutputError, RecipeError
from clearcast.core.evidence_schema import Evidence, Stage
from clearcast.core.numbers import format_count, log_odds, sigmoid
from clearcast.inference.decision import DecisionRule, read_decision_rule
from clearcast.inference.drift_statistics import REFERENCE_FILE, parse_drift_reference
from clearcast.inference.verification import GOLDEN_FILE, read_golden_samples
from clearcast.metrics.bootstrap import ClusterBootstrap
from clearcast.metrics.evidence.build import build_evidence
from clearcast.metrics.evidence.decisions import DecisionOutcome, choose_decision, measure_outcome
from clearcast.metrics.evidence.scores import (
    VERDICT_STAGES,
    DecisionPolicy,
    StageScores,
    format_limit,
    read_stage_scores,
)
from clearcast.metrics.evidence.thresholds import verdict_confidence
from clearcast.types import Label, Verdict

_TEST_FILE, _OUT_OF_FOLD_FILE = "predictions.csv", "validation.csv"
_COLUMNS = {"part", "label", "logit_denoised", "said_denoised"}


@dataclass(frozen=True, kw_only=True)
class TuningResult:
    """Decision rules before and after tuning, their outcomes on test images, and the new evidence."""

    before: DecisionRule
    after: DecisionRule
    outcome_before: DecisionOutcome
    outcome_after: DecisionOutcome
    evidence: Evidence


def tune_bundle(
    source: Path, out: Path, policy: DecisionPolicy, *, console: Console, trust: TrustedSigners | None = None
) -> TuningResult:
    """Write a bundle with the networks of another and a decision rule that meets the operating targets.

    The new bundle is not signed, even if ``source`` is. Its sheet of samples is copied, with the earlier verdicts.

    Args:
        source: a bundle with a classifier and out-of-fold predictions, its folder or zip.
        out: must not exist; a zip file if it ends in .zip.
        policy: operating targets: what mistakes cost or how many are allowed, and how many images may be retaken.
        console: shows progress.
        trust: public keys, one of which must have signed ``source``; None: no signature is required.

    Raises:
        OutputError: the bundle is damaged, not signed by a trusted key or cannot be tuned, or ``out`` exists.
        RecipeError: the operating targets cannot be met.
    """
    package = open_package(source, trust)
    manifest, before = package.manifest, read_decision_rule(package.manifest)
    classifier = _require_tunable(package)
    assert before
    with create_bundle(out) as folder, show_progress(console, "Choosing the threshold") as progress:
        test, out_of_fold = _read_table(package, _TEST_FILE), _read_table(package, _OUT_OF_FOLD_FILE)
        after = _choose_rule(out_of_fold, policy)
        test, out_of_fold = _apply_rule(test, after), _apply_rule(out_of_fold, after)
        seed = manifest["effort"]["seed"]
        evidence = build_evidence(test, out_of_fold, None, policy, seed=seed, progress=progress)
        copy_bundle_files(package, folder)
        _write_tables(folder, test, out_of_fold)
        _write_json(folder / "evidence.json", evidence)
        _write_json(folder / "wishes.json", asdict(policy))  # other targets give the bundle another fingerprint
        _write_golden_samples(package, folder, after)
        _write_drift_reference(package, folder, test, after)
        write_manifest(folder, _make_manifest(manifest, classifier, after, evidence))
    scores = _require_scores(test)
    sample = ClusterBootstrap(scores.part, seed=seed)
    outcomes = [
        measure_outcome(scores, rule.threshold, rule.retake_distance or 0.0, sample) for rule in (before, after)
    ]
    return TuningResult(
        before=before, after=after, outcome_before=outcomes[0], outcome_after=outcomes[1], evidence=evidence
    )


def _require_tunable(package: BundlePackage) -> ClassifierMetadata:
    """Return the metadata of a bundle's classifier, if a threshold can be chosen for it."""
    classifier = package.manifest["judge"]
    if classifier is None or package.manifest["threshold"] is None:
        reason = package.manifest["no_judge"] or "it has no classifier"
        raise OutputError(f"{package.path}: gives no verdicts ({reason}), so there is nothing to tune")
    if not classifier["crossfitted"] or _OUT_OF_FOLD_FILE not in package.names():
        raise OutputError(
            f"{package.path}: has no out-of-fold predictions ({_OUT_OF_FOLD_FILE}) to choose a threshold on; use a "
            "bundle that 'clearcast train' made from at least two ok and two defect parts; for a study, see "
            "'clearcast report'"
        )
    return classifier


def _read_table(package: BundlePackage, name: str) -> pd.DataFrame:
    """Read a table of the bundle; only empty cells are missing values, since a part may be named NA."""
    content = io.BytesIO(package.read(name))
    try:
        table = pd.read_csv(content, keep_default_na=False, na_values=[""], dtype={"part": str}).round(6)  # as written
    except ValueError as error:
        raise OutputError(f"{package.path}: {name} is not a table ({error}); recreate the bundle") from None
    if table.empty or not set(table) >= _COLUMNS:
        raise OutputError(
            f"{package.path}: expected rows with the columns {', '.join(sorted(_COLUMNS))} in {name}; recreate the "
            "bundle"
        )
    if not np.isfinite(pd.to_numeric(table["logit_denoised"], errors="coerce")).all():
        raise OutputError(f"{package.path}: {name} has rows without finite log-odds of defect; recreate the bundle")
    return table


def _require_scores(table: pd.DataFrame) -> StageScores:
    scores = read_stage_scores(table, Stage.DENOISED)
    assert scores, "_read_table checks the columns"
    return scores


def _choose_rule(out_of_fold: pd.DataFrame, policy: DecisionPolicy) -> DecisionRule:
    """Choose threshold and retake distance on out-of-fold predictions.

    The choice divides their log-odds by a temperature of its own, which is undone here: the bundle does not use it.
    """
    rows = _require_scores(out_of_fold)
    choice = choose_decision(rows, policy)
    ((fold, temperature),) = choice.temperatures.items()
    threshold = sigmoid(temperature * log_odds(choice.thresholds[fold]))
    if choice.cutoffs is None:
        return DecisionRule(threshold=threshold)
    confidences = verdict_confidence(rows.calibrated(choice.temperatures), choice.thresholds)
    if not (confidences >= choice.cutoffs[fold]).any():
        assert policy.max_risk is not None
        raise RecipeError(
            f"even the most confident out-of-fold verdicts, on {format_count(len(rows.part), 'image')}, are wrong more "
            f"often than {format_limit(policy.max_risk)}; allow more with --max-risk, or use --min-coverage"
        )
    return DecisionRule(threshold=threshold, retake_distance=temperature * choice.cutoffs[fold])


def _apply_rule(table: pd.DataFrame, rule: DecisionRule) -> pd.DataFrame:
    """Recompute the predicted labels of all stages with the new threshold."""
    labels = {}
    for stage in VERDICT_STAGES:
        if f"logit_{stage}" in table:
            logits = table[f"logit_{stage}"]
            predicted = np.where(logits > log_odds(rule.threshold), Label.DEFECT.value, Label.OK.value)
            labels[f"said_{stage}"] = pd.Series(predicted, index=table.index).where(logits.notna())
    return table.assign(**labels)


def _write_tables(folder: Path, test: pd.DataFrame, out_of_fold: pd.DataFrame) -> None:
    for name, table in ((_TEST_FILE, test), (_OUT_OF_FOLD_FILE, out_of_fold)):
        table.to_csv(folder / name, index=False)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _write_golden_samples(package: BundlePackage, folder: Path, rule: DecisionRule) -> None:
    """Write the same golden samples with the new verdicts."""
    golden = read_golden_samples(package)
    for sample in golden:
        if sample["p_defect"] is not None:
            sample["verdict"] = rule.verdict(sample["p_defect"]).value
    (folder / GOLDEN_FILE).write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


def _write_drift_reference(package: BundlePackage, folder: Path, test: pd.DataFrame, rule: DecisionRule) -> None:
    """Write the same drift reference with the shares of the new verdicts on test images."""
    if REFERENCE_FILE not in package.names():
        return
    reference = parse_drift_reference(package.read(REFERENCE_FILE), str(package.path))
    verdicts = pd.Series([rule.verdict(probability) for probability in _require_scores(test).probability])
    kinds = [verdict for verdict in Verdict if verdict is not Verdict.RETAKE or rule.retake_distance is not None]
    reference["verdicts"] = {verdict.value: float((verdicts == verdict).mean()) for verdict in kinds}
    _write_json(folder / REFERENCE_FILE, reference)


def _make_manifest(
    before: Manifest, classifier: ClassifierMetadata, rule: DecisionRule, evidence: Evidence
) -> Manifest:
    tuned: ClassifierMetadata = {**classifier, "threshold": classifier["temperature"] * log_odds(rule.threshold)}
    tuned.pop("retake_distance", None)
    if rule.retake_distance is not None:
        tuned["retake_distance"] = rule.retake_distance
    return {**before, "threshold": rule.threshold, "judge": tuned, "measured": evidence}
