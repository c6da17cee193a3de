"""Tables of a whole run, rewritten after each stage: metrics, predictions of test and of validation rows."""

import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version

import pandas as pd

from clearcast import __version__
from clearcast.domain import Subset
from clearcast.evaluation.results import GroupFacts, RunInfo, StudyMetrics
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.material import Material
from clearcast.evaluation.study.request import StudyRequest

_PACKAGES = ("torch", "lightning", "numpy", "opencv-python-headless", "scikit-learn", "scikit-image")


def write_tables(context: Material, request: StudyRequest) -> StudyMetrics:
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
        "split": context.division.split.description,
        "split_kind": context.division.kind.value,
        "groups": _groups(context),
        "counts": context.counts(),
        "left_out": list(context.rows.left_out),
        "warnings": context.warnings(),
        "cache": "; ".join(dict.fromkeys(training["cache"] for training in trainings)),
        "started": str(folder.metadata["started"]),
        "seconds": sum(training["seconds"] for training in trainings),
    }
    metrics: StudyMetrics = {"format": 1, "run": run, "stages": stages}
    folder.save_metrics(metrics, _joined(context, Subset.TEST), _joined(context, Subset.VALIDATION))
    return metrics


def _groups(context: Material) -> GroupFacts:
    parts = context.division.parts
    return {
        "source": parts.source.value,
        "parts": parts.count,
        "rows": len(parts.of_rows),
        "largest": max(Counter(parts.of_rows).values()),
        "leaked_test_images": len(context.division.leaked_test_rows()),
        "test_images": len(context.test),
    }


def _row_table(context: Material, indices: Sequence[int]) -> pd.DataFrame:
    """Make a table of rows with their images, parts, labels and noise types."""
    rows = [context.sheet.rows[index] for index in indices]
    return pd.DataFrame(
        {
            "row": [row.number for row in rows],
            "noisy": [row.noisy for row in rows],
            "reference": [row.reference for row in rows],
            "part": [context.division.parts.of_rows[index] for index in indices],
            "label": [str(row.label) for row in rows],
            "noise_type": [str(row.noise_type) for row in rows],
        }
    )


def _joined(context: Material, subset: Subset) -> pd.DataFrame:
    """Join the rows of a subset with the predictions of every finished stage."""
    table = _row_table(context, context.division.split.rows(subset))
    for stage in Stage:
        predictions = context.folder.predictions(stage, subset) if context.folder.is_done(stage) else None
        if predictions is not None:
            table = table.merge(predictions, on="row", how="left", validate="one_to_one")
    return table
