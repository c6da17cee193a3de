"""Run directory: created once, resumed only with the same configuration, never overwritten by accident.

``RunDirectory`` knows the files of a run; ``open_run`` and ``begin_run`` resume or start one.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd

from clearcast.core.errors import OutputError
from clearcast.core.evidence_schema import Stage
from clearcast.core.files import replace_file
from clearcast.core.spreadsheets import protect_table, restore_table
from clearcast.metrics.results import ClassificationResult, DenoisingResult, StudyMetrics
from clearcast.types import Subset

PREDICTION_FILES = {Subset.TEST: "predictions.csv", Subset.VALIDATION: "validation.csv"}
_RUN, _RESULT, _METRICS = "run.json", "result.json", "metrics.json"
_FORMAT = 1
_MAX_STEM = 80  # letters of the noisy image's name in the denoised image's: file systems allow 255 bytes
_RECOVERY = "run the stage again with --resume --repeat --stages, or start over with --force"

StageResult = ClassificationResult | DenoisingResult
ReadT = TypeVar("ReadT")


@dataclass(frozen=True, kw_only=True)
class RunDirectory:
    """Run directory: the files of a run and of its stages."""

    path: Path

    def stage(self, stage: Stage) -> Path:
        """Return the folder of a stage."""
        return self.path / stage.value

    @property
    def metadata(self) -> dict[str, Any]:
        """Content of ``run.json``: ``started`` (ISO 8601 with time zone), ``question`` (the configuration), others."""
        return _read_run(self.path)

    @property
    def split(self) -> Path:
        """Path of the file with the subset of each row."""
        return self.path / "split.csv"

    @property
    def robustness(self) -> Path:
        """Path of the table of predictions at rising noise levels."""
        return self.path / "robustness.csv"

    def save_robustness(self, table: pd.DataFrame) -> None:
        """Write the predictions at rising noise levels."""
        write_run_csv(self.robustness, table.round(6))

    def denoised(self, row: int, noisy: str) -> Path:
        """Return the path of the denoised image of a row."""
        return self.path / "denoised_pictures" / f"{row}-{Path(noisy).stem[:_MAX_STEM]}.png"

    def is_done(self, stage: Stage) -> bool:
        """Return whether a stage has its result, which is written last."""
        return (self.stage(stage) / _RESULT).exists()

    def delete_stage(self, stage: Stage) -> None:
        """Delete the files of a stage."""
        if self.stage(stage).exists():
            shutil.rmtree(self.stage(stage))

    def save_stage(
        self, stage: Stage, result: StageResult, predictions: pd.DataFrame, validation: pd.DataFrame | None = None
    ) -> None:
        """Write a stage's predictions of test and validation rows, and last its result, which marks it as done."""
        write_run_csv(self.stage(stage) / PREDICTION_FILES[Subset.TEST], predictions)
        if validation is not None:
            write_run_csv(self.stage(stage) / PREDICTION_FILES[Subset.VALIDATION], validation)
        write_json(self.stage(stage) / _RESULT, result)

    def result(self, stage: Stage) -> StageResult:
        """Read a stage's result."""
        path = self.stage(stage) / _RESULT
        return cast(StageResult, _read(path, lambda: dict(json.loads(path.read_text(encoding="utf-8")))))

    def predictions(self, stage: Stage, subset: Subset = Subset.TEST) -> pd.DataFrame | None:
        """Read a stage's own columns, and ``row``; None if it has no predictions of the subset."""
        path = self.stage(stage) / PREDICTION_FILES[subset]
        if subset is Subset.VALIDATION and not path.exists():
            return None
        table = read_run_csv(path)
        if "row" not in table:
            raise OutputError(f"{path} is damaged (it has no column row); {_RECOVERY}")
        return table

    def table(self, subset: Subset) -> pd.DataFrame:
        """Read the table of all stages: predictions of test rows or of validation rows."""
        return read_run_csv(self.path / PREDICTION_FILES[subset])

    def delete_tables(self) -> None:
        """Delete the tables of the whole run and what was computed from them, before their stages run again."""
        for name in (*PREDICTION_FILES.values(), _METRICS, "evidence.json"):
            (self.path / name).unlink(missing_ok=True)

    def save_metrics(self, metrics: StudyMetrics, test: pd.DataFrame, validation: pd.DataFrame) -> None:
        """Write the tables and metrics of the whole run."""
        write_run_csv(self.path / PREDICTION_FILES[Subset.TEST], test)
        write_run_csv(self.path / PREDICTION_FILES[Subset.VALIDATION], validation)
        write_json(self.path / _METRICS, metrics)


def open_run(path: Path, configuration: dict[str, Any], *, resume: bool, force: bool) -> RunDirectory | None:
    """Find the run to resume, or check that a new run may start here. Nothing is written or deleted yet.

    Args:
        path: the folder; a folder that is no run directory is never touched, not even with ``force``.
        configuration: the options that must be equal for results to belong together, ready for JSON.
        resume: resume an existing run, or start one if there is none.
        force: allow a new run to replace an existing run of the same kind.

    Returns:
        The run to resume, or None to start a new one.

    Raises:
        OutputError: the folder holds something else, or a run and neither option is given, or a run with another
            configuration, or with ``force`` a run of another kind.
    """
    if resume and force:
        raise OutputError("--resume continues a run and --force deletes it; give only one of them")
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; expected a folder for the run")
    if not path.exists() or not any(path.iterdir()):
        return None
    if not (path / _RUN).exists():
        raise OutputError(f"{path} is not empty and not a run of Clearcast; name a new or empty folder with --out")
    if not resume and not force:
        raise OutputError(f"{path} already holds a run; resume it with --resume, or replace it with --force")
    existing = _read_run(path)
    if force:
        _refuse_other_kind(path, _kind(existing["question"]), _kind(configuration))
        return None
    _refuse_other_configuration(path, existing["question"], configuration)
    return RunDirectory(path=path)


def begin_run(path: Path, configuration: dict[str, Any], **metadata: str) -> RunDirectory:
    """Start a new run that ``open_run`` allowed; the files of an older run are deleted.

    ``metadata`` is written next to the configuration: information that results do not depend on.
    """
    if path.exists():
        for old in path.iterdir():  # not the folder itself, which may be a link or not ours to delete
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    started = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    write_json(path / _RUN, {"format": _FORMAT, "started": started, **metadata, "question": configuration})
    return RunDirectory(path=path)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically."""
    try:
        with replace_file(path) as temporary:
            temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from None


def read_run_csv(path: Path) -> pd.DataFrame:
    """Read a table of a run. Only an empty cell is a missing value: a part may be named NA.

    Raises:
        OutputError: the table is damaged.
    """
    table = _read(path, lambda: pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"part": str}))
    return restore_table(table)


def write_run_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    with replace_file(path) as temporary:
        protect_table(table).to_csv(temporary, index=False)


def _read_run(path: Path) -> dict[str, Any]:
    metadata = _read(path / _RUN, lambda: json.loads((path / _RUN).read_text(encoding="utf-8")))
    if not isinstance(metadata, dict) or not {"format", "started", "question"} <= metadata.keys():
        raise OutputError(f"{path / _RUN} does not belong to a run of Clearcast; name another folder with --out")
    if metadata["format"] != _FORMAT:
        raise OutputError(f"{path} holds a run of format {metadata['format']}; this version reads format {_FORMAT}")
    return metadata


def _read(path: Path, read: Callable[[], ReadT]) -> ReadT:
    """Read a file of the run; raise OutputError if it is damaged."""
    try:
        return read()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OutputError(f"{path} is damaged ({reason}); {_RECOVERY}") from None


def _refuse_other_configuration(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = _flatten(before), _flatten(now)
    differing = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
    if differing:
        listed = "; ".join(f"{key} was {old.get(key)!r}, now {new.get(key)!r}" for key in sorted(differing))
        raise OutputError(
            f"{path} holds a run with another configuration ({listed}); use the same options, or another folder"
        )


def _refuse_other_kind(path: Path, old: str, new: str) -> None:
    """Refuse to delete hours of work for a run of another kind."""
    if old != new:
        raise OutputError(f"{path} holds {old}, which --force does not replace by {new}; name another with --out")


def _kind(configuration: dict[str, Any]) -> str:
    if "benchmark" in configuration:
        return "a benchmark"
    return "a study" if isinstance(configuration.get("recipe"), dict) else "a bundle"


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
