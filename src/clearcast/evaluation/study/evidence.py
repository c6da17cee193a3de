"""Write a run's evidence: computed from its tables, with the operating targets that it follows."""

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

_ALTERNATIVES = {  # the targets that a target takes the place of
    "escape_cost": ("max_escape",),
    "overkill_cost": ("max_escape",),
    "max_risk": ("min_coverage",),
    "min_coverage": ("max_risk",),
}
_EVIDENCE, _WISHES = "evidence.json", "wishes.json"


def write_evidence(run: Path, named: Mapping[str, float], console: Console) -> Evidence:
    """Write ``evidence.json`` of a run, and ``wishes.json`` with its operating targets.

    Args:
        run: the run directory, with its ``predictions.csv``.
        named: operating targets by their names (see ``Wishes``); the others keep their last values or the defaults.
        console: shows progress.

    Raises:
        OutputError: not a run directory, or one of its tables cannot be read.
        RecipeError: an invalid target, or two that contradict each other.
    """
    folder = RunFolder(path=run)
    if not (run / "predictions.csv").exists():
        raise OutputError(f"{run}: has no predictions.csv; expected a run directory with at least one finished stage")
    targets = _update_targets(_load_targets(run), named)
    test = folder.table(Subset.TEST)
    if "part" not in test:
        raise OutputError(f"{run}: predictions.csv of an older version has no column part; run the study again")
    with progress_bar(console, "Computing the evidence") as progress:
        evidence = gather_evidence(
            test,
            folder.table(Subset.VALIDATION),
            read_csv(folder.robustness) if folder.robustness.exists() else None,
            targets,
            seed=int(folder.metadata["question"]["seed"]),
            progress=progress,
        )
    write_json(run / _WISHES, asdict(targets))
    write_json(run / _EVIDENCE, evidence)
    return evidence


def can_be_weighed(run: Path) -> bool:
    """Return whether evidence can be computed for a folder: it is a run whose test rows have parts."""
    path = run / "predictions.csv"
    return path.exists() and "part" in read_csv(path)


def _update_targets(last: Wishes, named: Mapping[str, float]) -> Wishes:
    """Replace the named targets; each clears the alternatives that it takes the place of."""
    merged = asdict(last)
    for name in named:
        merged |= dict.fromkeys(_ALTERNATIVES.get(name, ()))
    return Wishes(**(merged | dict(named)))


def _load_targets(run: Path) -> Wishes:
    try:
        return Wishes(**json.loads((run / _WISHES).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Wishes()
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{run / _WISHES} is damaged ({error}); delete it and give your targets again") from None
