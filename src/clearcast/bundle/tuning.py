"""``clearcast tune``: the same networks with another threshold, and with pictures to retake; nothing is trained.

The choice is that of the study's evidence (``evaluation/evidence/decisions.py``), made on the bundle's own cross-fitted
rows; its test rows only measure. Needs no torch.
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
from clearcast.progress import progress_bar
from clearcast.runtime.golden import GOLDEN, read_golden
from clearcast.runtime.manifest import JudgeFacts, Manifest, write_manifest
from clearcast.runtime.package import Package, open_package
from clearcast.runtime.reference import REFERENCE, parse_reference
from clearcast.runtime.repacking import copy_files, new_bundle
from clearcast.runtime.signing import Trust
from clearcast.runtime.verdicts import Rule, log_odds, probability, rule_of

TEST, CROSSFITTED = "predictions.csv", "validation.csv"
_COLUMNS = {"part", "label", "logit_denoised", "said_denoised"}


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What was chosen, and what it does on test images; ``evidence`` is all that is known of them now."""

    before: Rule
    after: Rule
    outcome_before: Outcome
    outcome_after: Outcome
    evidence: Evidence


def tune(source: Path, out: Path, wishes: Wishes, *, console: Console, trust: Trust | None = None) -> Tuned:
    """Write a bundle with the networks of another, whose verdicts follow from wishes.

    It is not signed, also if the other is. Its pictures of samples are those of before, and name those verdicts.

    Args:
        source: a bundle with a judge and cross-fitted rows, its folder or zip.
        out: must not be there; one file if it ends in .zip.
        wishes: what mistakes cost or how many are allowed, and how many pictures may be retaken.
        console: shows progress.
        trust: whose signature ``source`` must have; None: it needs none.

    Raises:
        OutputError: the bundle is damaged, not signed as ``trust`` asks or cannot be tuned, or ``out`` is there.
        RecipeError: the wishes cannot be met.
    """
    package = open_package(source, trust)
    manifest, before = package.manifest, rule_of(package.manifest)
    facts = _require_choice(package)
    assert before
    with new_bundle(out) as folder, progress_bar(console, "Weighing the evidence") as progress:
        test, known = _table(package, TEST), _table(package, CROSSFITTED)
        after = _chosen(known, wishes)
        test, known = _judged_anew(test, after), _judged_anew(known, after)
        seed = manifest["effort"]["seed"]
        evidence = gather_evidence(test, known, None, wishes, seed=seed, progress=progress)
        copy_files(package, folder)
        _write_tables(folder, test, known)
        _write_json(folder / "evidence.json", evidence)
        _write_json(folder / "wishes.json", asdict(wishes))  # other wishes are another bundle, by its fingerprint
        _write_golden(package, folder, after)
        _write_reference(package, folder, test, after)
        write_manifest(folder, _manifest(manifest, facts, after, evidence))
    tested = _require_judged(test)
    sample = Sample(tested.part, seed=seed)
    outcomes = [outcome(tested, rule.threshold, rule.retake_distance or 0.0, sample) for rule in (before, after)]
    return Tuned(before=before, after=after, outcome_before=outcomes[0], outcome_after=outcomes[1], evidence=evidence)


def _require_choice(package: Package) -> JudgeFacts:
    """What is known of a judge, if a threshold can be chosen for it."""
    facts = package.manifest["judge"]
    if facts is None or package.manifest["threshold"] is None:
        reason = package.manifest["no_judge"] or "it has no judge"
        raise OutputError(f"{package.path}: gives no verdicts ({reason}), so there is nothing to tune")
    if not facts["crossfitted"] or CROSSFITTED not in package.names():
        raise OutputError(
            f"{package.path}: does not say how pictures are judged that were not learned from ({CROSSFITTED}), and "
            "nothing else can choose a threshold; needed is a bundle that 'clearcast train' made from at least two ok "
            "and two defect parts; for a study, see 'clearcast report'"
        )
    return facts


def _table(package: Package, name: str) -> pd.DataFrame:
    """A table of the bundle; only an empty cell means that there is no value: a part may well be named NA."""
    text = io.BytesIO(package.read(name))
    try:
        table = pd.read_csv(text, keep_default_na=False, na_values=[""], dtype={"part": str}).round(6)  # as written
    except ValueError as error:
        raise OutputError(f"{package.path}: its {name} is no table ({error}); make the bundle again") from None
    if table.empty or not set(table) >= _COLUMNS:
        raise OutputError(
            f"{package.path}: its {name} has no rows, or not the columns {', '.join(sorted(_COLUMNS))}; make the "
            "bundle again"
        )
    if not np.isfinite(pd.to_numeric(table["logit_denoised"], errors="coerce")).all():
        raise OutputError(
            f"{package.path}: its {name} has rows without finite log-odds of defect; make the bundle again"
        )
    return table


def _require_judged(table: pd.DataFrame) -> Judged:
    found = judged(table, Stage.DENOISED)
    assert found, "the columns were there"
    return found


def _chosen(known: pd.DataFrame, wishes: Wishes) -> Rule:
    """The choice on cross-fitted rows; there its probabilities are cooled, in the bundle they are not."""
    rows = _require_judged(known)
    choice = choose(rows, wishes)
    ((fold, temperature),) = choice.temperatures.items()
    threshold = probability(temperature * log_odds(choice.thresholds[fold]))
    if choice.cutoffs is None:
        return Rule(threshold=threshold)
    sureness = confidence(rows.calibrated(choice.temperatures), choice.thresholds)
    if not (sureness >= choice.cutoffs[fold]).any():
        assert wishes.max_risk is not None
        raise RecipeError(
            f"of the verdicts on {counted(len(rows.part), 'image')} that were not learned from, even the surest are "
            f"wrong more often than {limit(wishes.max_risk)}; allow more by --max-risk, or name --min-coverage"
        )
    return Rule(threshold=threshold, retake_distance=temperature * choice.cutoffs[fold])


def _judged_anew(table: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """With what the new threshold says: it is the verdict of all three stages that the judge was asked at."""
    said = {}
    for stage in VERDICTS:
        if f"logit_{stage}" in table:
            logits = table[f"logit_{stage}"]
            named = np.where(logits > log_odds(rule.threshold), Label.DEFECT.value, Label.OK.value)
            said[f"said_{stage}"] = pd.Series(named, index=table.index).where(logits.notna())
    return table.assign(**said)


def _write_tables(folder: Path, test: pd.DataFrame, known: pd.DataFrame) -> None:
    for name, table in ((TEST, test), (CROSSFITTED, known)):
        table.to_csv(folder / name, index=False)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _write_golden(package: Package, folder: Path, rule: Rule) -> None:
    """The same golden pictures with the verdicts that are expected now."""
    golden = read_golden(package)
    for each in golden:
        if each["p_defect"] is not None:
            each["verdict"] = rule.verdict(each["p_defect"]).value
    (folder / GOLDEN).write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


def _write_reference(package: Package, folder: Path, test: pd.DataFrame, rule: Rule) -> None:
    """The same reference, but for the shares of verdicts, which are those that are given now on test images."""
    if REFERENCE not in package.names():
        return
    reference = parse_reference(package.read(REFERENCE), str(package.path))
    given = pd.Series([rule.verdict(chance) for chance in _require_judged(test).probability])
    kinds = [verdict for verdict in Verdict if verdict is not Verdict.RETAKE or rule.retake_distance is not None]
    reference["verdicts"] = {verdict.value: float((given == verdict).mean()) for verdict in kinds}
    _write_json(folder / REFERENCE, reference)


def _manifest(before: Manifest, facts: JudgeFacts, rule: Rule, evidence: Evidence) -> Manifest:
    judge: JudgeFacts = {**facts, "threshold": facts["temperature"] * log_odds(rule.threshold)}
    judge.pop("retake_distance", None)
    if rule.retake_distance is not None:
        judge["retake_distance"] = rule.retake_distance
    return {**before, "threshold": rule.threshold, "judge": judge, "measured": evidence}
