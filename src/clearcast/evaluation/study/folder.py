"""The folder of a run: made once, gone on with only for the same question, never overwritten by accident."""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pandas as pd

from clearcast.errors import OutputError
from clearcast.evaluation.results import ClassificationStage, RestorationStage, StudyMetrics
from clearcast.evaluation.stage import Stage
from clearcast.files import replace_file

_QUESTION = "run.json"
_STARTED = "started"
StageResult = ClassificationStage | RestorationStage


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Where a run keeps what it made."""

    path: Path

    def stage(self, stage: Stage) -> Path:
        """The folder of a stage."""
        return self.path / stage.value

    @property
    def started(self) -> str:
        """When the run was begun: ISO 8601 with time zone."""
        return str(json.loads((self.path / _QUESTION).read_text(encoding="utf-8"))[_STARTED])

    @property
    def split(self) -> Path:
        """The file that says which row trains and which tests."""
        return self.path / "split.csv"

    def denoised(self, row: int, noisy: str) -> Path:
        """Where the denoised picture of a row is kept."""
        return self.path / "denoised_pictures" / f"{row}-{Path(noisy).stem}.png"

    def is_done(self, stage: Stage) -> bool:
        """Whether a stage has its result."""
        return (self.stage(stage) / "result.json").exists()

    def discard(self, stage: Stage) -> None:
        """Forget a stage and all that was made from it."""
        for other in Stage:
            if other is stage or stage in other.needs:
                shutil.rmtree(self.stage(other), ignore_errors=True)

    def save(self, stage: Stage, result: StageResult, predictions: pd.DataFrame) -> None:
        """Keep a stage's result; with it the stage is done."""
        with replace_file(self.stage(stage) / "predictions.csv") as temporary:
            predictions.to_csv(temporary, index=False)
        write_json(self.stage(stage) / "result.json", result)

    def result(self, stage: Stage) -> StageResult:
        """A stage's result."""
        return cast(StageResult, json.loads((self.stage(stage) / "result.json").read_text(encoding="utf-8")))

    def predictions(self, stage: Stage) -> pd.DataFrame:
        """A stage's own columns, and ``row``."""
        return pd.read_csv(self.stage(stage) / "predictions.csv", keep_default_na=False, na_values=[""])

    def save_metrics(self, metrics: StudyMetrics, predictions: pd.DataFrame) -> None:
        """Write the tables of the whole run."""
        write_json(self.path / "metrics.json", metrics)
        with replace_file(self.path / "predictions.csv") as temporary:
            predictions.to_csv(temporary, index=False)


def open_run(path: Path, question: dict[str, Any], *, resume: bool, force: bool) -> RunFolder | None:
    """Find the run to go on with, or make sure that a new one may be begun here. Nothing is written or deleted yet.

    Args:
        path: the folder; whatever is not a run's folder is left alone, also with ``force``.
        question: all that must be equal for results to belong together, ready for JSON.
        resume: go on with a run that is there; where none is, one may be begun.
        force: a run that is there may be deleted for a new one.

    Returns:
        the run to go on with, or None where a new one is to be begun.

    Raises:
        OutputError: the folder holds something else, or a run and neither is given, or a run with another question.
    """
    known = path / _QUESTION
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; needed is the name of a folder for the run")
    if not known.exists():
        if path.is_dir() and any(path.iterdir()):
            raise OutputError(f"{path} is not empty and not a run of Clearcast; name a new or empty folder with --out")
        return None
    if force:
        return None
    if not resume:
        raise OutputError(f"{path} already holds a run; go on with it by --resume, or delete it and start by --force")
    _refuse_other_question(path, json.loads(known.read_text(encoding="utf-8")), question)
    return RunFolder(path=path)


def begin_run(path: Path, question: dict[str, Any]) -> RunFolder:
    """Begin a new run where ``open_run`` allowed it; an older run there is deleted."""
    if (path / _QUESTION).exists():
        shutil.rmtree(path)
    started = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    write_json(path / _QUESTION, {_STARTED: started, **question})
    return RunFolder(path=path)


def write_json(path: Path, value: object) -> None:
    """Write JSON for people and programs, whole or not at all."""
    try:
        with replace_file(path) as temporary:
            temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from None


def _refuse_other_question(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = _flat({key: value for key, value in before.items() if key != _STARTED}), _flat(now)
    differing = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
    if differing:
        listed = "; ".join(f"{key} was {old.get(key)!r}, now {new.get(key)!r}" for key in sorted(differing))
        raise OutputError(f"{path} holds a run of something else ({listed}); ask the same, or use another folder")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
