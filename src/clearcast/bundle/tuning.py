"""Threshold tuning (``clearcast tune``): a bundle with the same networks and another decision rule; needs no torch.

Threshold and retake distance are chosen as in a study's evidence (``evaluation/evidence/decisions.py``), on the
bundle's out-of-fold predictions. Its test rows only measure the result.
"""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from clearcast.domain import Label, Verdict
from clearcast.errors import OutputError, RecipeError
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.evidence.decisions import choose
from clearcast.evaluation.evidence.gather import gather_evidence
from clearcast.evaluation.evidence.outcome import Outcome, outcome
from clearcast.evaluation.evidence.retake import confidence
from clearcast.evaluation.evidence.tables import VERDICTS, Judged, judged
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.evidence.words import counted, limit
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.statistics.sample import Sample
from clearcast.log_odds import log_odds, sigmoid
from clearcast.progress import progress_bar
from clearcast.runtime.golden import GOLDEN, read_golden
from clearcast.runtime.manifest import JudgeFacts, Manifest, write_manifest
from clearcast.runtime.package import Package, open_package
from clearcast.runtime.reference import REFERENCE, parse_reference
from clearcast.runtime.repacking import copy_files, new_bundle
from clearcast.runtime.signing import Trust
from clearcast.runtime.verdicts import Rule, rule_of

TEST, CROSSFITTED = "predictions.csv", "validation.csv"
_COLUMNS = {"part", "label", "logit_denoised", "said_denoised"}


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """Decision rules before and after tuning, their outcomes on test images, and the new evidence."""

    before: Rule
    after: Rule
    outcome_before: Outcome
    outcome_after: Outcome
    evidence: Evidence


def tune(source: Path, out: Path, wishes: Wishes, *, console: Console, trust: Trust | None = None) -> Tuned:
    """Write a bundle with the networks of another and a decision rule that meets the operating targets.

    The new bundle is not signed, even if ``source`` is. Its sheet of samples is copied, with the earlier verdicts.

    Args:
        source: a bundle with a classifier and out-of-fold predictions, its folder or zip.
        out: must not exist; a zip file if it ends in .zip.
        wishes: operating targets: what mistakes cost or how many are allowed, and how many images may be retaken.
        console: shows progress.
        trust: public keys, one of which must have signed ``source``; None: no signature is required.

    Raises:
        OutputError: the bundle is damaged, not signed by a trusted key or cannot be tuned, or ``out`` exists.
        RecipeError: the operating targets cannot be met.
    """
    package = open_package(source, trust)
    manifest, before = package.manifest, rule_of(package.manifest)
    facts = _require_tunable(package)
    assert before
    with new_bundle(out) as folder, progress_bar(console, "Choosing the threshold") as progress:
        test, crossfitted = _read_table(package, TEST), _read_table(package, CROSSFITTED)
        after = _choose_rule(crossfitted, wishes)
        test, crossfitted = _apply_rule(test, after), _apply_rule(crossfitted, after)
        seed = manifest["effort"]["seed"]
        evidence = gather_evidence(test, crossfitted, None, wishes, seed=seed, progress=progress)
        copy_files(package, folder)
        _write_tables(folder, test, crossfitted)
        _write_json(folder / "evidence.json", evidence)
        _write_json(folder / "wishes.json", asdict(wishes))  # other targets give the bundle another fingerprint
        _write_golden(package, folder, after)
        _write_reference(package, folder, test, after)
        write_manifest(folder, _manifest(manifest, facts, after, evidence))
    tested = _require_scores(test)
    sample = Sample(tested.part, seed=seed)
    outcomes = [outcome(tested, rule.threshold, rule.retake_distance or 0.0, sample) for rule in (before, after)]
    return Tuned(before=before, after=after, outcome_before=outcomes[0], outcome_after=outcomes[1], evidence=evidence)


def _require_tunable(package: Package) -> JudgeFacts:
    """Return the facts of a bundle's classifier, if a threshold can be chosen for it."""
    facts = package.manifest["judge"]
    if facts is None or package.manifest["threshold"] is None:
        reason = package.manifest["no_judge"] or "it has no classifier"
        raise OutputError(f"{package.path}: gives no verdicts ({reason}), so there is nothing to tune")
    if not facts["crossfitted"] or CROSSFITTED not in package.names():
        raise OutputError(
            f"{package.path}: has no out-of-fold predictions ({CROSSFITTED}) to choose a threshold on; use a bundle "
            "that 'clearcast train' made from at least two ok and two defect parts; for a study, see 'clearcast report'"
        )
    return facts


def _read_table(package: Package, name: str) -> pd.DataFrame:
    """Read a table of the bundle; only empty cells are missing values, since a part may be named NA."""
    text = io.BytesIO(package.read(name))
    try:
        table = pd.read_csv(text, keep_default_na=False, na_values=[""], dtype={"part": str}).round(6)  # as written
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


def _require_scores(table: pd.DataFrame) -> Judged:
    found = judged(table, Stage.DENOISED)
    assert found, "_read_table checks the columns"
    return found


def _choose_rule(crossfitted: pd.DataFrame, wishes: Wishes) -> Rule:
    """Choose threshold and retake distance on out-of-fold predictions.

    The choice divides their log-odds by a temperature of its own, which is undone here: the bundle does not use it.
    """
    rows = _require_scores(crossfitted)
    choice = choose(rows, wishes)
    ((fold, temperature),) = choice.temperatures.items()
    threshold = sigmoid(temperature * log_odds(choice.thresholds[fold]))
    if choice.cutoffs is None:
        return Rule(threshold=threshold)
    confidences = confidence(rows.calibrated(choice.temperatures), choice.thresholds)
    if not (confidences >= choice.cutoffs[fold]).any():
        assert wishes.max_risk is not None
        raise RecipeError(
            f"even the most confident out-of-fold verdicts, on {counted(len(rows.part), 'image')}, are wrong more "
            f"often than {limit(wishes.max_risk)}; allow more with --max-risk, or use --min-coverage"
        )
    return Rule(threshold=threshold, retake_distance=temperature * choice.cutoffs[fold])


def _apply_rule(table: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """Recompute the predicted labels of all stages with the new threshold."""
    labels = {}
    for stage in VERDICTS:
        if f"logit_{stage}" in table:
            logits = table[f"logit_{stage}"]
            named = np.where(logits > log_odds(rule.threshold), Label.DEFECT.value, Label.OK.value)
            labels[f"said_{stage}"] = pd.Series(named, index=table.index).where(logits.notna())
    return table.assign(**labels)


def _write_tables(folder: Path, test: pd.DataFrame, crossfitted: pd.DataFrame) -> None:
    for name, table in ((TEST, test), (CROSSFITTED, crossfitted)):
        table.to_csv(folder / name, index=False)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _write_golden(package: Package, folder: Path, rule: Rule) -> None:
    """Write the same golden samples with the new verdicts."""
    golden = read_golden(package)
    for each in golden:
        if each["p_defect"] is not None:
            each["verdict"] = rule.verdict(each["p_defect"]).value
    (folder / GOLDEN).write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


def _write_reference(package: Package, folder: Path, test: pd.DataFrame, rule: Rule) -> None:
    """Write the same drift reference with the shares of the new verdicts on test images."""
    if REFERENCE not in package.names():
        return
    reference = parse_reference(package.read(REFERENCE), str(package.path))
    verdicts = pd.Series([rule.verdict(chance) for chance in _require_scores(test).probability])
    kinds = [verdict for verdict in Verdict if verdict is not Verdict.RETAKE or rule.retake_distance is not None]
    reference["verdicts"] = {verdict.value: float((verdicts == verdict).mean()) for verdict in kinds}
    _write_json(folder / REFERENCE, reference)


def _manifest(before: Manifest, facts: JudgeFacts, rule: Rule, evidence: Evidence) -> Manifest:
    judge: JudgeFacts = {**facts, "threshold": facts["temperature"] * log_odds(rule.threshold)}
    judge.pop("retake_distance", None)
    if rule.retake_distance is not None:
        judge["retake_distance"] = rule.retake_distance
    return {**before, "threshold": rule.threshold, "judge": judge, "measured": evidence}
