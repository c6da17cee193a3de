"""Make a run's evidence from its tables, and keep it with the wishes that it follows."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from clearcast.domain import Subset
from clearcast.errors import OutputError
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.evidence.gather import gather_evidence
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.study.folder import RunFolder, read_csv, write_json
from clearcast.progress import progress_bar

_ALTERNATIVES = {
    "escape_cost": ("max_escape",),
    "overkill_cost": ("max_escape",),
    "max_risk": ("min_coverage",),
    "min_coverage": ("max_risk",),
}
_EVIDENCE, _WISHES = "evidence.json", "wishes.json"


def write_evidence(run: Path, named: Mapping[str, float], console: Console) -> Evidence:
    """Write ``evidence.json`` of a run, and ``wishes.json``.

    Args:
        run: the run's folder, with its ``predictions.csv``.
        named: wishes by their names (see ``Wishes``); the others are as was asked last, or what is usual.
        console: shows progress.

    Raises:
        OutputError: not a run's folder, or one of its tables cannot be read.
        RecipeError: a wish without a meaning, or two that contradict each other.
    """
    folder = RunFolder(path=run)
    if not (run / "predictions.csv").exists():
        raise OutputError(f"{run}: no predictions.csv there; needed is a run's folder with a stage that is done")
    chosen = _with(_last_wishes(run), named)
    test = folder.table(Subset.TEST)
    if "part" not in test:
        raise OutputError(f"{run}: predictions.csv has no column part: an older version wrote it; run the study again")
    with progress_bar(console, "Weighing the evidence") as progress:
        evidence = gather_evidence(
            test,
            folder.table(Subset.VALIDATION),
            read_csv(folder.robustness) if folder.robustness.exists() else None,
            chosen,
            seed=int(folder.about["question"]["seed"]),
            progress=progress,
        )
    write_json(run / _WISHES, asdict(chosen))
    write_json(run / _EVIDENCE, evidence)
    return evidence


def can_be_weighed(run: Path) -> bool:
    """Whether a folder holds a run whose test rows say which part they show."""
    path = run / "predictions.csv"
    return path.exists() and "part" in read_csv(path)


def _with(last: Wishes, named: Mapping[str, float]) -> Wishes:
    """The last wishes with those that are named; one that is named takes the place of its alternatives."""
    merged = asdict(last)
    for name in named:
        merged |= dict.fromkeys(_ALTERNATIVES.get(name, ()))
    return Wishes(**(merged | dict(named)))


def _last_wishes(run: Path) -> Wishes:
    try:
        return Wishes(**json.loads((run / _WISHES).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Wishes()
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{run / _WISHES} is damaged ({error}); remove it, or name your wishes again") from None
