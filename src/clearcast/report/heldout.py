"""What the rows that were measured after each epoch were for: watched only, or to choose the epoch that was kept."""

from collections.abc import Mapping

from clearcast.evaluation.results import RunInfo, StudyMetrics


def caption(run: RunInfo, stage: str) -> str:
    """What stands below a stage's learning curves."""
    use = "which chose the epoch that was kept" if _chooses(run, _table(stage)) else "watched, never used to choose"
    return f"Learning curves; held-out are the {_rows(run)} rows, {use}"


def doubt(metrics: StudyMetrics) -> str:
    """What the held-out rows did to the networks and to the figures; empty where nothing was trained."""
    run, rows = metrics["run"], _rows(metrics["run"])
    trained = _trained(metrics)
    choosing = {table for table in trained if _chooses(run, table)}
    if len(trained) > 1 and choosing in (set(), trained):
        told = [_sentence("network", rows, chooses=bool(choosing))]
    else:
        told = [_sentence(table, rows, chooses=table in choosing) for table in sorted(trained)]
    if flatters(metrics):
        told.append("No rows were kept for validation, so the figures are better than they would be on other pictures.")
    return " ".join(told)


def flatters(metrics: StudyMetrics) -> bool:
    """Whether test rows chose the epoch of a network, so that its figures are too good."""
    run = metrics["run"]
    return _rows(run) == "test" and any(_chooses(run, table) for table in _trained(metrics))


def _trained(metrics: StudyMetrics) -> set[str]:
    return {_table(key) for key, stage in metrics["stages"].items() if stage["training"] is not None}


def _sentence(table: str, rows: str, *, chooses: bool) -> str:
    if chooses:
        return f"Of each {table} the epoch with the lowest loss on the {rows} rows was kept."
    return f"No {table}'s epoch was chosen: the last was kept, and the {rows} rows' curves were only watched."


def _table(stage: str) -> str:
    """The recipe's table that a stage's network was fitted by."""
    return "denoiser" if stage == "denoising" else "classifier"


def _chooses(run: RunInfo, table: str) -> bool:
    settings = run["recipe"].get(table)
    return isinstance(settings, Mapping) and bool(settings.get("patience"))


def _rows(run: RunInfo) -> str:
    """Which rows were measured after each epoch: those for validation, or where there are none, the test's."""
    return "validation" if "validation" in run["counts"] else "test"
