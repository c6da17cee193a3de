"""Cross-validated study: a run for each fold in a folder of its own, and metrics pooled over all test rows."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from clearcast.core.evidence_schema import Stage
from clearcast.data.groups import write_groups_table
from clearcast.data.groups.row_groups import GroupSource
from clearcast.data.validation import filter_usable_rows
from clearcast.metrics.classification import classification_metrics, confusion_matrix, is_ok_defect, roc_curves
from clearcast.metrics.image_quality import ImageQuality, summarize_quality_by_noise
from clearcast.metrics.results import (
    ClassificationResult,
    DenoisingResult,
    GroupCounts,
    RunInfo,
    StudyMetrics,
    WarningKind,
    parse_data_warnings,
)
from clearcast.study.context import StudyRequest, check_trainable, leakage_warnings
from clearcast.study.stage_runner import (
    check_repeat_option,
    delete_repeated_stages,
    prepare_stages,
    run_metadata,
    run_study,
)
from clearcast.train.run_directory import RunDirectory, StageResult, begin_run, open_run, read_run_csv
from clearcast.train.split_choice import resolve_groups, split_rows
from clearcast.types import Subset

_GROUPS = "groups.csv"


def run_cross_validation(request: StudyRequest) -> StudyMetrics:
    """Run the study once for each fold, and write the pooled tables; each fold can be resumed separately.

    Raises:
        ClearcastError: see ``run_study``.
    """
    check_repeat_option(request)
    configuration = request.configuration()
    folder = open_run(request.out, configuration, resume=request.resume, force=request.force)
    if folder is None:
        folder = _begin_folds(request, configuration)
    groups = folder.path / _GROUPS
    were_detected = groups.exists()
    split = replace(request.split, groups=groups) if were_detected else request.split
    if request.repeat:  # in all folds at once: if the first is interrupted, the others must not keep their results
        for fold in _started_folds(folder):
            prepare_stages(request, fold)  # checks before anything is deleted
        for run in (folder, *_started_folds(folder)):
            run.delete_tables()
            delete_repeated_stages(request, run)
    runs = [_run_fold(replace(request, split=split), folder, fold) for fold in range(1, split.folds + 1)]
    return _pool_folds(folder, runs, detected=were_detected)


def _begin_folds(request: StudyRequest, configuration: dict[str, Any]) -> RunDirectory:
    """Start the run of all folds; if groups must be detected, that happens once."""
    prepare_stages(request, None)
    rows = filter_usable_rows(request.sheet, skip_bad=request.skip_bad, console=request.console)
    parts = resolve_groups(rows, request.split, request.console)
    for fold in range(1, request.split.folds + 1):  # now rather than after hours in the first folds
        choice = replace(request.split, fold=fold)
        resolved = split_rows(rows.sheet, parts, choice, request.recipe.split, seed=request.seed)
        check_trainable(rows, resolved, request.recipe, request.stages)
    folder = begin_run(request.out, configuration, **run_metadata(request))
    if parts.source is GroupSource.FOUND:
        write_groups_table(rows.sheet, parts.of_rows, folder.path / _GROUPS)
    return folder


def _run_fold(request: StudyRequest, folder: RunDirectory, fold: int) -> tuple[RunDirectory, StudyMetrics]:
    out = _fold_directory(folder, fold)
    request.console.rule(f"Fold {fold} of {request.split.folds}")
    split = replace(request.split, fold=fold)
    resume = out.path.exists()
    return out, run_study(replace(request, out=out.path, split=split, resume=resume, repeat=False, force=False))


def _started_folds(folder: RunDirectory) -> list[RunDirectory]:
    """List the run directories of the folds that were started."""
    return [RunDirectory(path=path) for path in sorted(folder.path.glob("fold-*"))]


def _fold_directory(folder: RunDirectory, fold: int) -> RunDirectory:
    """Return the run directory of a fold."""
    return RunDirectory(path=folder.path / f"fold-{fold}")


def _pool_folds(folder: RunDirectory, runs: list[tuple[RunDirectory, StudyMetrics]], *, detected: bool) -> StudyMetrics:
    """Pool the folds' tables and metrics, and write them; ``detected``: whether the groups were detected in images."""
    tables = {subset: _concatenate_tables(runs, subset) for subset in (Subset.TEST, Subset.VALIDATION)}
    sweeps = [(fold, run.robustness) for fold, (run, _) in enumerate(runs, 1) if run.robustness.exists()]
    if len(sweeps) == len(runs):
        folder.save_robustness(pd.concat([read_run_csv(path).assign(fold=fold) for fold, path in sweeps]))
    else:
        folder.robustness.unlink(missing_ok=True)
    first = runs[0][1]
    common = [stage for stage in Stage if all(stage in metrics["stages"] for _, metrics in runs)]
    stages = {stage.value: _pool_stage(first["stages"][stage], tables[Subset.TEST], stage) for stage in common}
    info = _pool_run_info(folder, [metrics["run"] for _, metrics in runs], detected=detected)
    metrics: StudyMetrics = {"format": first["format"], "run": info, "stages": stages}
    folder.save_metrics(metrics, tables[Subset.TEST], tables[Subset.VALIDATION])
    return metrics


def _concatenate_tables(runs: list[tuple[RunDirectory, StudyMetrics]], subset: Subset) -> pd.DataFrame:
    """Concatenate the folds' tables, with a column for the fold; image paths are relative to the study's folder."""
    tables = []
    for fold, (run, _) in enumerate(runs, 1):
        table = run.table(subset).assign(fold=fold)
        if "denoised" in table:
            table["denoised"] = f"{run.path.name}/" + table["denoised"]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _pool_stage(first: StageResult, table: pd.DataFrame, stage: Stage) -> StageResult:
    if first["kind"] == "classification":
        return _pool_classification(first, table, stage)
    return _pool_denoising(first, table)


def _pool_classification(first: ClassificationResult, table: pd.DataFrame, stage: Stage) -> ClassificationResult:
    classes = first["classes"]
    truth = table["label"] if is_ok_defect(classes) else table["noise_type"]
    targets = np.array([classes.index(name) for name in truth])
    if is_ok_defect(classes):
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


def _pool_denoising(first: DenoisingResult, table: pd.DataFrame) -> DenoisingResult:
    return {
        **first,
        "noisy": summarize_quality_by_noise(_quality_from_table(table, "noisy"), table["noise_type"].tolist()),
        "denoised": summarize_quality_by_noise(_quality_from_table(table, "denoised"), table["noise_type"].tolist()),
        "training": None,
    }


def _quality_from_table(table: pd.DataFrame, which: str) -> list[ImageQuality]:
    columns = [table[f"{measure}_{which}"].to_numpy(float) for measure in ("psnr", "ssim", "mse", "lpips")]
    return [
        ImageQuality(psnr=psnr, ssim=ssim, mse=mse, lpips=None if np.isnan(lpips) else lpips)
        for psnr, ssim, mse, lpips in zip(*columns, strict=True)
    ]


def _pool_run_info(folder: RunDirectory, runs: list[RunInfo], *, detected: bool) -> RunInfo:
    first, groups = runs[0], [run["groups"] for run in runs if "groups" in run]
    pooled: GroupCounts = {
        **groups[0],
        "source": GroupSource.FOUND.value if detected else groups[0]["source"],
        "leaked_test_images": sum(each["leaked_test_images"] for each in groups),
        "test_images": sum(each["test_images"] for each in groups),
    }
    warnings = [warning for run in runs for warning in parse_data_warnings(run.get("warnings", []))]
    others = {warning["text"]: warning for warning in warnings if warning["kind"] != WarningKind.SHARED_PARTS}
    leaked = leakage_warnings(pooled["leaked_test_images"], pooled["test_images"])
    first_split = first["split"].partition(", ")[2] if "split_kind" in first else ""
    return {
        **first,
        "split": f"{len(runs)} folds, so that each row tests once; the first: {first_split}",
        "groups": pooled,
        "folds": len(runs),
        "counts": {"test": _sum_counts([run["counts"]["test"] for run in runs])},
        "warnings": [*leaked, *others.values()],
        "started": str(folder.metadata["started"]),
        "seconds": sum(run["seconds"] for run in runs),
    }


def _sum_counts(counts: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    return {key: dict(sum((Counter(each[key]) for each in counts), Counter())) for key in counts[0]}
