"""Use of the held-out rows that were measured after each epoch: only monitored, or to choose the epoch."""

from collections.abc import Mapping

from clearcast.evaluation.results import RunInfo, StudyMetrics


def caption(run: RunInfo, stage: str) -> str:
    """Write the caption of a stage's learning curves."""
    use = "used to choose the epoch" if _chooses_epoch(run, _recipe_table(stage)) else "monitored only"
    return f"Learning curves; the held-out rows are the {_heldout_rows(run)} rows, {use}"


def doubt(metrics: StudyMetrics) -> str:
    """Describe how the held-out rows affected networks and figures; empty if nothing was trained."""
    run, rows = metrics["run"], _heldout_rows(metrics["run"])
    trained = _trained_tables(metrics)
    choosing = {table for table in trained if _chooses_epoch(run, table)}
    if len(trained) > 1 and choosing in (set(), trained):
        texts = [_epoch_text("network", rows, chooses=bool(choosing))]
    else:
        texts = [_epoch_text(table, rows, chooses=table in choosing) for table in sorted(trained)]
    if flatters(metrics):
        texts.append("There were no validation rows, so the figures are better than they would be on other images.")
    return " ".join(texts)


def flatters(metrics: StudyMetrics) -> bool:
    """Check whether test rows chose the epoch of a network, which makes its figures too good."""
    run = metrics["run"]
    return _heldout_rows(run) == "test" and any(_chooses_epoch(run, table) for table in _trained_tables(metrics))


def _trained_tables(metrics: StudyMetrics) -> set[str]:
    return {_recipe_table(key) for key, stage in metrics["stages"].items() if stage["training"] is not None}


def _epoch_text(table: str, rows: str, *, chooses: bool) -> str:
    if chooses:
        return f"The epoch of each {table} is the one with the lowest loss on the {rows} rows."
    return f"The epoch of each {table} is the last; the {rows} rows were only monitored."


def _recipe_table(stage: str) -> str:
    """Name of the recipe's table that a stage's network is trained by."""
    return "denoiser" if stage == "denoising" else "classifier"


def _chooses_epoch(run: RunInfo, table: str) -> bool:
    settings = run["recipe"].get(table)
    return isinstance(settings, Mapping) and bool(settings.get("patience"))


def _heldout_rows(run: RunInfo) -> str:
    """Subset that was measured after each epoch: validation, or test if there are no validation rows."""
    return "validation" if "validation" in run["counts"] else "test"
