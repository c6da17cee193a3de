"""Cross-validated study: a run for each fold in a folder of its own, and metrics pooled over all test rows."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from clearcast.data.groups import write_groups
from clearcast.data.groups.given import GroupSource
from clearcast.data.usable import usable
from clearcast.domain import Subset
from clearcast.evaluation.classification import classification_metrics, confusion_matrix, is_verdict, roc_curves
from clearcast.evaluation.data_warnings import WarningKind, read_warnings
from clearcast.evaluation.fidelity import Fidelity, summarize_by_noise
from clearcast.evaluation.results import (
    ClassificationStage,
    GroupFacts,
    RestorationStage,
    RunInfo,
    StudyMetrics,
)
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.beginning import parts_of
from clearcast.evaluation.study.dividing import divide
from clearcast.evaluation.study.folder import RunFolder, StageResult, begin_run, open_run, read_csv
from clearcast.evaluation.study.material import refuse_unfit, shared_parts_warnings
from clearcast.evaluation.study.request import StudyRequest
from clearcast.evaluation.study.run import discard_repeated, prepared, refuse_contradictions, run_metadata, run_study

_GROUPS = "groups.csv"


def run_folds(request: StudyRequest) -> StudyMetrics:
    """Run the study once for each fold, and write the pooled tables; each fold can be resumed separately.

    Raises:
        ClearcastError: see ``run_study``.
    """
    refuse_contradictions(request)
    question = request.question()
    folder = open_run(request.out, question, resume=request.resume, force=request.force)
    if folder is None:
        folder = _begin(request, question)
    groups = folder.path / _GROUPS
    found = groups.exists()
    split = replace(request.split, groups=groups) if found else request.split
    if request.repeat:  # discard in all folds at once: if the first is interrupted, the others must not keep theirs
        for fold in begun_folds(folder):
            prepared(request, fold)  # checks before anything is discarded
        for run in (folder, *begun_folds(folder)):
            run.forget_tables()
            discard_repeated(request, run)
    runs = [_run_fold(replace(request, split=split), folder, fold) for fold in range(1, split.folds + 1)]
    return _pool(folder, runs, found=found)


def _begin(request: StudyRequest, question: dict[str, Any]) -> RunFolder:
    """Start the run of all folds; if groups must be searched for, that happens once."""
    prepared(request, None)
    rows = usable(request.sheet, skip_bad=request.skip_bad, console=request.console)
    parts = parts_of(rows, request.split, request.console)
    for fold in range(1, request.split.folds + 1):  # now rather than after hours in the first folds
        choice = replace(request.split, fold=fold)
        division = divide(rows.sheet, parts, choice, request.recipe.split, seed=request.seed)
        refuse_unfit(rows, division, request.recipe, request.stages)
    folder = begin_run(request.out, question, **run_metadata(request))
    if parts.source is GroupSource.FOUND:
        write_groups(rows.sheet, parts.of_rows, folder.path / _GROUPS)
    return folder


def _run_fold(request: StudyRequest, folder: RunFolder, fold: int) -> tuple[RunFolder, StudyMetrics]:
    out = fold_folder(folder, fold)
    request.console.rule(f"Fold {fold} of {request.split.folds}")
    split = replace(request.split, fold=fold)
    resume = out.path.exists()
    return out, run_study(replace(request, out=out.path, split=split, resume=resume, repeat=False, force=False))


def begun_folds(folder: RunFolder) -> list[RunFolder]:
    """List the run directories of the folds that were started."""
    return [RunFolder(path=path) for path in sorted(folder.path.glob("fold-*"))]


def fold_folder(folder: RunFolder, fold: int) -> RunFolder:
    """Return the run directory of a fold."""
    return RunFolder(path=folder.path / f"fold-{fold}")


def _pool(folder: RunFolder, runs: list[tuple[RunFolder, StudyMetrics]], *, found: bool) -> StudyMetrics:
    tables = {subset: _concatenated(runs, subset) for subset in (Subset.TEST, Subset.VALIDATION)}
    sweeps = [(fold, run.robustness) for fold, (run, _) in enumerate(runs, 1) if run.robustness.exists()]
    if len(sweeps) == len(runs):
        folder.save_robustness(pd.concat([read_csv(path).assign(fold=fold) for fold, path in sweeps]))
    else:
        folder.robustness.unlink(missing_ok=True)
    first = runs[0][1]
    common = [stage for stage in Stage if all(stage in metrics["stages"] for _, metrics in runs)]
    stages = {stage.value: _pooled(first["stages"][stage], tables[Subset.TEST], stage) for stage in common}
    info = _info(folder, [metrics["run"] for _, metrics in runs], found=found)
    metrics: StudyMetrics = {"format": first["format"], "run": info, "stages": stages}
    folder.save_metrics(metrics, tables[Subset.TEST], tables[Subset.VALIDATION])
    return metrics


def _concatenated(runs: list[tuple[RunFolder, StudyMetrics]], subset: Subset) -> pd.DataFrame:
    """Concatenate the folds' tables, with a column for the fold; image paths are relative to the study's folder."""
    tables = []
    for fold, (run, _) in enumerate(runs, 1):
        table = run.table(subset).assign(fold=fold)
        if "denoised" in table:
            table["denoised"] = f"{run.path.name}/" + table["denoised"]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _pooled(first: StageResult, table: pd.DataFrame, stage: Stage) -> StageResult:
    if first["kind"] == "classification":
        return _pooled_classification(first, table, stage)
    return _pooled_restoration(first, table)


def _pooled_classification(first: ClassificationStage, table: pd.DataFrame, stage: Stage) -> ClassificationStage:
    classes = first["classes"]
    truth = table["label"] if is_verdict(classes) else table["noise_type"]
    targets = np.array([classes.index(name) for name in truth])
    if is_verdict(classes):
        defect = table[f"p_defect_{stage}"].to_numpy(float)
        probabilities = np.stack([defect if name == "defect" else 1 - defect for name in classes], axis=1)
    else:
        probabilities = table[[f"p_{name}" for name in classes]].to_numpy(float)
    return {
        **first,
        "metrics": classification_metrics(targets, probabilities, classes),
        "confusion": confusion_matrix(targets, probabilities, classes),
        "roc": roc_curves(targets, probabilities, classes),
        "training": None,
    }


def _pooled_restoration(first: RestorationStage, table: pd.DataFrame) -> RestorationStage:
    return {
        **first,
        "noisy": summarize_by_noise(_fidelities(table, "noisy"), table["noise_type"].tolist()),
        "denoised": summarize_by_noise(_fidelities(table, "denoised"), table["noise_type"].tolist()),
        "training": None,
    }


def _fidelities(table: pd.DataFrame, which: str) -> list[Fidelity]:
    columns = [table[f"{measure}_{which}"].to_numpy(float) for measure in ("psnr", "ssim", "mse", "lpips")]
    return [
        Fidelity(psnr=psnr, ssim=ssim, mse=mse, lpips=None if np.isnan(lpips) else lpips)
        for psnr, ssim, mse, lpips in zip(*columns, strict=True)
    ]


def _info(folder: RunFolder, runs: list[RunInfo], *, found: bool) -> RunInfo:
    first, groups = runs[0], [run["groups"] for run in runs if "groups" in run]
    pooled: GroupFacts = {
        **groups[0],
        "source": GroupSource.FOUND.value if found else groups[0]["source"],
        "leaked_test_images": sum(each["leaked_test_images"] for each in groups),
        "test_images": sum(each["test_images"] for each in groups),
    }
    warnings = [warning for run in runs for warning in read_warnings(run.get("warnings", []))]
    others = {warning["text"]: warning for warning in warnings if warning["kind"] != WarningKind.SHARED_PARTS}
    leaked = shared_parts_warnings(pooled["leaked_test_images"], pooled["test_images"])
    first_split = first["split"].partition(", ")[2] if "split_kind" in first else ""
    return {
        **first,
        "split": f"{len(runs)} folds, so that each row tests once; the first: {first_split}",
        "groups": pooled,
        "folds": len(runs),
        "counts": {"test": _added([run["counts"]["test"] for run in runs])},
        "warnings": [*leaked, *others.values()],
        "started": str(folder.metadata["started"]),
        "seconds": sum(run["seconds"] for run in runs),
    }


def _added(counts: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    return {key: dict(sum((Counter(each[key]) for each in counts), Counter())) for key in counts[0]}
