"""The folder of a run: made once, gone on with only for the same question, never overwritten by accident."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd

from clearcast.cells import protect_table, restore_table
from clearcast.domain import Subset
from clearcast.errors import OutputError
from clearcast.evaluation.results import ClassificationStage, RestorationStage, StudyMetrics
from clearcast.evaluation.stage import Stage
from clearcast.files import replace_file

_RUN = "run.json"
PREDICTIONS = {Subset.TEST: "predictions.csv", Subset.VALIDATION: "validation.csv"}
_FORMAT = 1
_LONGEST = 80  # letters of a picture's stem that its denoised picture's name keeps: file systems allow 255 bytes
StageResult = ClassificationStage | RestorationStage
Read = TypeVar("Read")


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Where a run keeps what it made."""

    path: Path

    def stage(self, stage: Stage) -> Path:
        """The folder of a stage."""
        return self.path / stage.value

    @property
    def about(self) -> dict[str, Any]:
        """What ``run.json`` says: ``started`` (ISO 8601 with time zone), and what the run was begun with."""
        return _read_run(self.path)

    @property
    def split(self) -> Path:
        """The file that says which row trains and which tests."""
        return self.path / "split.csv"

    @property
    def robustness(self) -> Path:
        """The table of the verdicts at rising levels of noise."""
        return self.path / "robustness.csv"

    def save_robustness(self, table: pd.DataFrame) -> None:
        """Keep the verdicts at rising levels of noise."""
        write_table(self.robustness, table.round(6))

    def denoised(self, row: int, noisy: str) -> Path:
        """Where the denoised picture of a row is kept."""
        return self.path / "denoised_pictures" / f"{row}-{Path(noisy).stem[:_LONGEST]}.png"

    def is_done(self, stage: Stage) -> bool:
        """Whether a stage has its result, which is written last."""
        return (self.stage(stage) / "result.json").exists()

    def discard(self, stage: Stage) -> None:
        """Forget what a stage made."""
        if self.stage(stage).exists():
            shutil.rmtree(self.stage(stage))

    def save(
        self, stage: Stage, result: StageResult, predictions: pd.DataFrame, validation: pd.DataFrame | None = None
    ) -> None:
        """Keep a stage's result, and what it says of test rows and of validation rows; with it the stage is done."""
        write_table(self.stage(stage) / PREDICTIONS[Subset.TEST], predictions)
        if validation is not None:
            write_table(self.stage(stage) / PREDICTIONS[Subset.VALIDATION], validation)
        write_json(self.stage(stage) / "result.json", result)

    def result(self, stage: Stage) -> StageResult:
        """A stage's result."""
        path = self.stage(stage) / "result.json"
        return cast(StageResult, _read(path, lambda: dict(json.loads(path.read_text(encoding="utf-8")))))

    def predictions(self, stage: Stage, subset: Subset = Subset.TEST) -> pd.DataFrame | None:
        """A stage's own columns, and ``row``; None where it says nothing of the subset."""
        path = self.stage(stage) / PREDICTIONS[subset]
        if subset is Subset.VALIDATION and not path.exists():
            return None
        table = read_csv(path)
        if "row" not in table:
            raise OutputError(f"{path} is damaged (it has no column row); {_CURE}")
        return table

    def table(self, subset: Subset) -> pd.DataFrame:
        """The table of all stages: predictions of test rows, or of validation rows."""
        return read_csv(self.path / PREDICTIONS[subset])

    def forget_tables(self) -> None:
        """Remove the tables of the whole run and what was made from them: stages that they show are made again."""
        for name in (*PREDICTIONS.values(), "metrics.json", "evidence.json"):
            (self.path / name).unlink(missing_ok=True)

    def save_metrics(self, metrics: StudyMetrics, test: pd.DataFrame, validation: pd.DataFrame) -> None:
        """Write the tables of the whole run."""
        write_table(self.path / PREDICTIONS[Subset.TEST], test)
        write_table(self.path / PREDICTIONS[Subset.VALIDATION], validation)
        write_json(self.path / "metrics.json", metrics)


_CURE = "run the stage again with --resume --repeat --stages, or start the run anew with --force"


def open_run(path: Path, question: dict[str, Any], *, resume: bool, force: bool) -> RunFolder | None:
    """Find the run to go on with, or make sure that a new one may be begun here. Nothing is written or deleted yet.

    Args:
        path: the folder; whatever is not a run's folder is left alone, also with ``force``.
        question: all that must be equal for results to belong together, ready for JSON.
        resume: go on with a run that is there; where none is, one may be begun.
        force: a run of the same kind that is there may be deleted for a new one.

    Returns:
        the run to go on with, or None where a new one is to be begun.

    Raises:
        OutputError: the folder holds something else, or a run and neither is given, or a run with another question, or
            with ``force`` a run of another kind.
    """
    if resume and force:
        raise OutputError("--resume goes on with a run and --force deletes it; give one of them")
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; needed is the name of a folder for the run")
    if not path.exists() or not any(path.iterdir()):
        return None
    if not (path / _RUN).exists():
        raise OutputError(f"{path} is not empty and not a run of Clearcast; name a new or empty folder with --out")
    if not resume and not force:
        raise OutputError(f"{path} already holds a run; go on with it by --resume, or delete it and start by --force")
    before = _read_run(path)
    if force:
        _refuse_other_kind(path, _kind(before["question"]), _kind(question))
        return None
    _refuse_other_question(path, before["question"], question)
    return RunFolder(path=path)


def begin_run(path: Path, question: dict[str, Any], **about: str) -> RunFolder:
    """Begin a new run where ``open_run`` allowed it; what an older run left there is deleted.

    ``about`` is written beside the question: what a reader wants to know, but what results do not depend on.
    """
    if path.exists():
        for old in path.iterdir():  # the folder itself may be a link, or another's to delete
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    started = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    write_json(path / _RUN, {"format": _FORMAT, "started": started, **about, "question": question})
    return RunFolder(path=path)


def write_json(path: Path, value: object) -> None:
    """Write JSON for people and programs, whole or not at all."""
    try:
        with replace_file(path) as temporary:
            temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from None


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table of a run, in which only an empty cell means that there is no value: a part may well be named NA.

    Raises:
        OutputError: it is damaged.
    """
    table = _read(path, lambda: pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"part": str}))
    return restore_table(table)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all."""
    with replace_file(path) as temporary:
        protect_table(table).to_csv(temporary, index=False)


def _read_run(path: Path) -> dict[str, Any]:
    about = _read(path / _RUN, lambda: json.loads((path / _RUN).read_text(encoding="utf-8")))
    if not isinstance(about, dict) or not {"format", "started", "question"} <= about.keys():
        raise OutputError(f"{path / _RUN} is not of a run of Clearcast; name another folder with --out")
    if about["format"] != _FORMAT:
        raise OutputError(f"{path} holds a run of format {about['format']}; this version reads format {_FORMAT}")
    return about


def _read(path: Path, read: Callable[[], Read]) -> Read:
    """Read a file of the run; one that is damaged is the user's to mend, and no fault of ours."""
    try:
        return read()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OutputError(f"{path} is damaged ({reason}); {_CURE}") from None


def _refuse_other_question(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = _flat(before), _flat(now)
    differing = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
    if differing:
        listed = "; ".join(f"{key} was {old.get(key)!r}, now {new.get(key)!r}" for key in sorted(differing))
        raise OutputError(f"{path} holds a run of something else ({listed}); ask the same, or use another folder")


def _refuse_other_kind(path: Path, old: str, new: str) -> None:
    """--force never deletes the hours of a study for a benchmark."""
    if old != new:
        raise OutputError(f"{path} holds {old}, which --force does not delete for {new}; name another with --out")


def _kind(question: dict[str, Any]) -> str:
    if "benchmark" in question:
        return "a benchmark"
    return "a study" if isinstance(question.get("recipe"), dict) else "a bundle"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
