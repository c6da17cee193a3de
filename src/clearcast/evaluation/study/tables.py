"""The tables of all that a run holds, written again after each stage."""

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


def write_tables(material: Material, request: StudyRequest) -> StudyMetrics:
    """Write ``metrics.json``, ``predictions.csv`` and ``validation.csv`` of the stages that are done."""
    folder = material.folder
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
        "split": material.division.split.description,
        "split_kind": material.division.kind.value,
        "groups": _groups(material),
        "counts": material.counts(),
        "left_out": list(material.rows.left_out),
        "warnings": material.warnings(),
        "cache": "; ".join(dict.fromkeys(training["cache"] for training in trainings)),
        "started": str(folder.about["started"]),
        "seconds": sum(training["seconds"] for training in trainings),
    }
    metrics: StudyMetrics = {"format": 1, "run": run, "stages": stages}
    folder.save_metrics(metrics, _joined(material, Subset.TEST), _joined(material, Subset.VALIDATION))
    return metrics


def _groups(material: Material) -> GroupFacts:
    parts = material.division.parts
    return {
        "source": parts.source.value,
        "parts": parts.count,
        "rows": len(parts.of_rows),
        "largest": max(Counter(parts.of_rows).values()),
        "leaked_test_images": len(material.division.leaked_test_rows()),
        "test_images": len(material.test),
    }


def _listed(material: Material, indices: Sequence[int]) -> pd.DataFrame:
    """One line a row, with its part and what is known of it."""
    rows = [material.sheet.rows[index] for index in indices]
    return pd.DataFrame(
        {
            "row": [row.number for row in rows],
            "noisy": [row.noisy for row in rows],
            "reference": [row.reference for row in rows],
            "part": [material.division.parts.of_rows[index] for index in indices],
            "label": [str(row.label) for row in rows],
            "noise_type": [str(row.noise_type) for row in rows],
        }
    )


def _joined(material: Material, subset: Subset) -> pd.DataFrame:
    """One line a row of a subset with the columns of every stage that is done and says something of it."""
    table = _listed(material, material.division.split.rows(subset))
    for stage in Stage:
        said = material.folder.predictions(stage, subset) if material.folder.is_done(stage) else None
        if said is not None:
            table = table.merge(said, on="row", how="left", validate="one_to_one")
    return table
