"""Tables and evidence of a whole run.

``metrics.json`` and the predictions of test and validation rows are rewritten after each stage. ``evidence.json`` is
computed from them by a decision policy.
"""

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from rich.console import Console

from clearcast import __version__
from clearcast.core.console import show_progress
from clearcast.core.errors import OutputError
from clearcast.core.evidence_schema import Evidence, Stage
from clearcast.metrics.evidence.build import build_evidence
from clearcast.metrics.evidence.scores import DecisionPolicy
from clearcast.metrics.results import GroupCounts, RunInfo, StudyMetrics
from clearcast.study.context import StudyContext, StudyRequest
from clearcast.train.run_directory import RunDirectory, read_run_csv, write_json
from clearcast.types import Subset

_PACKAGES = ("torch", "lightning", "numpy", "opencv-python-headless", "scikit-learn", "scikit-image")
_EVIDENCE, _POLICY = "evidence.json", "wishes.json"
_ALTERNATIVES = {  # the targets that a target replaces
    "escape_cost": ("max_escape",),
    "overkill_cost": ("max_escape",),
    "max_risk": ("min_coverage",),
    "min_coverage": ("max_risk",),
}


def write_study_tables(context: StudyContext, request: StudyRequest) -> StudyMetrics:
    """Write ``metrics.json``, ``predictions.csv`` and ``validation.csv`` from the finished stages."""
    folder = context.folder
    stages = {stage.value: folder.result(stage) for stage in Stage if folder.is_done(stage)}
    trainings = [result["training"] for result in stages.values() if result["training"]]
    run: RunInfo = {
        "sheet": str(request.sheet.path.absolute()),
        "sheet_sha256": request.sheet.sha256,
        "root": str(request.sheet.root),
        "recipe": request.recipe.model_dump(mode="json"),
        "seed": request.seed,
        "device": "; ".join(dict.fromkeys(training["device"] for training in trainings)),
        "versions": {"python": platform.python_version(), "clearcast": __version__}
        | {name: version(name) for name in _PACKAGES},
        "split": context.resolved_split.split.description,
        "split_kind": context.resolved_split.kind.value,
        "groups": _count_groups(context),
        "counts": context.counts(),
        "left_out": list(context.rows.left_out),
        "warnings": context.warnings(),
        "cache": "; ".join(dict.fromkeys(training["cache"] for training in trainings)),
        "started": str(folder.metadata["started"]),
        "seconds": sum(training["seconds"] for training in trainings),
    }
    metrics: StudyMetrics = {"format": 1, "run": run, "stages": stages}
    folder.save_metrics(metrics, _join_predictions(context, Subset.TEST), _join_predictions(context, Subset.VALIDATION))
    return metrics


def _count_groups(context: StudyContext) -> GroupCounts:
    parts = context.resolved_split.parts
    return {
        "source": parts.source.value,
        "parts": parts.count,
        "rows": len(parts.of_rows),
        "largest": max(Counter(parts.of_rows).values()),
        "leaked_test_images": len(context.resolved_split.leaked_test_rows()),
        "test_images": len(context.test),
    }


def _row_table(context: StudyContext, indices: Sequence[int]) -> pd.DataFrame:
    """Make a table of rows with their images, parts, labels and noise types."""
    rows = [context.sheet.rows[index] for index in indices]
    return pd.DataFrame(
        {
            "row": [row.number for row in rows],
            "noisy": [row.noisy for row in rows],
            "reference": [row.reference for row in rows],
            "part": [context.resolved_split.parts.of_rows[index] for index in indices],
            "label": [str(row.label) for row in rows],
            "noise_type": [str(row.noise_type) for row in rows],
        }
    )


def _join_predictions(context: StudyContext, subset: Subset) -> pd.DataFrame:
    """Join the rows of a subset with the predictions of every finished stage."""
    table = _row_table(context, context.resolved_split.split.rows(subset))
    for stage in Stage:
        predictions = context.folder.predictions(stage, subset) if context.folder.is_done(stage) else None
        if predictions is not None:
            table = table.merge(predictions, on="row", how="left", validate="one_to_one")
    return table


def write_evidence(run: Path, targets: Mapping[str, float], console: Console) -> Evidence:
    """Write ``evidence.json`` of a run, and ``wishes.json`` with its decision policy.

    Args:
        run: the run directory, with its ``predictions.csv``.
        targets: operating targets by their names (see ``DecisionPolicy``); the others keep their last values or the
            defaults.
        console: shows progress.

    Raises:
        OutputError: not a run directory, or one of its tables cannot be read.
        RecipeError: an invalid target, or two that contradict each other.
    """
    folder = RunDirectory(path=run)
    if not (run / "predictions.csv").exists():
        raise OutputError(f"{run}: has no predictions.csv; expected a run directory with at least one finished stage")
    policy = _update_policy(_load_policy(run), targets)
    test = folder.table(Subset.TEST)
    if "part" not in test:
        raise OutputError(f"{run}: predictions.csv of an older version has no column part; run the study again")
    with show_progress(console, "Computing the evidence") as progress:
        evidence = build_evidence(
            test,
            folder.table(Subset.VALIDATION),
            read_run_csv(folder.robustness) if folder.robustness.exists() else None,
            policy,
            seed=int(folder.metadata["question"]["seed"]),
            progress=progress,
        )
    write_json(run / _POLICY, asdict(policy))
    write_json(run / _EVIDENCE, evidence)
    return evidence


def has_evidence_inputs(run: Path) -> bool:
    """Return whether evidence can be computed for a folder: it is a run whose test rows have parts."""
    path = run / "predictions.csv"
    return path.exists() and "part" in read_run_csv(path)


def _update_policy(last: DecisionPolicy, targets: Mapping[str, float]) -> DecisionPolicy:
    """Replace the given targets of a policy; each clears the alternatives that it replaces."""
    merged = asdict(last)
    for name in targets:
        merged |= dict.fromkeys(_ALTERNATIVES.get(name, ()))
    return DecisionPolicy(**(merged | dict(targets)))


def _load_policy(run: Path) -> DecisionPolicy:
    try:
        return DecisionPolicy(**json.loads((run / _POLICY).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return DecisionPolicy()
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{run / _POLICY} is damaged ({error}); delete it and give your targets again") from None
