"""Benchmark measurement of each test row, resumable, and the metrics of each entrant with intervals over parts."""

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import cv2
import numpy as np
import pandas as pd

from clearcast.core import imaging
from clearcast.core.console import ProgressCallback
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import PictureError, PictureFault
from clearcast.core.evidence_schema import Stage, ValueWithCI
from clearcast.core.files import replace_file
from clearcast.core.numbers import log_odds, require_finite
from clearcast.metrics.bootstrap import BoolArray, ClusterBootstrap
from clearcast.metrics.evidence.estimates import estimate_classification, estimate_mean
from clearcast.metrics.image_quality import measure_image_quality
from clearcast.noise.registry import NoiseType
from clearcast.types import Label

if TYPE_CHECKING:
    from clearcast.evaluation.benchmark.entrants import BenchmarkClassifier, BenchmarkDenoiser


ALL_TYPES_KEY = "all"
REFERENCE_NAME = "reference"  # of the reference images among those kept
BEST_BY_TYPE = "best by type"
BENCHMARK_COLUMNS = ("contender", "measure", "noise_type", "value", "low", "high", "images", "parts", "ms")
CLASSIFICATION_METRICS = ("roc_area", "accuracy", "sensitivity", "specificity")
DENOISER_COLUMNS = ("psnr", "ssim", "ms")
CLASSIFIER_COLUMNS = ("p_defect", "ms")
_KEY_COLUMNS = ("row", "version")
_MIN_SIDE = 11  # pixels a side: the window of SSIM
_DECIMALS = 6  # in the table and in memory, so that a resumed benchmark gives the same results
MeasuredT = TypeVar("MeasuredT")
RowMetrics = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class TestRow:
    """A test row: its labels and files, and whether its images are kept as an example."""

    number: int
    part: str
    label: str
    noise_type: str
    noisy: Path
    reference: Path
    example: bool


@dataclass(frozen=True, kw_only=True)
class BenchmarkResultStore:
    """Result store of a benchmark: measured rows in ``folder/rows``, example images in ``folder/pictures``."""

    folder: Path

    def image(self, row: int, name: str) -> Path:
        """Return the path of an entrant's image of a row."""
        return self.folder / "pictures" / f"{row}-{name}.png"

    def table(self, name: str) -> Path:
        """Return the path of the rows of an entrant."""
        return self.folder / "rows" / f"{name}.csv"


def measure_denoiser(
    denoiser: "BenchmarkDenoiser",
    rows: Sequence[TestRow],
    store: BenchmarkResultStore,
    progress: ProgressCallback,
    faults: list[str],
) -> pd.DataFrame:
    """Measure a denoiser's quality on each row's noisy image, in grey at full size.

    Args:
        denoiser: the entrant.
        rows: the test rows.
        store: of the results; rows that it has already are not measured again.
        progress: called after each row.
        faults: receives a message for each image that cannot be used; its row is left out.

    Returns:
        A table with the columns ``row, part, label, noise_type`` and those of ``DENOISER_COLUMNS``.
    """
    timed = _TimedCall(denoiser.denoise)

    def measure(row: TestRow) -> RowMetrics:
        noisy, reference = _load_pair(row, denoiser.channels)
        denoised, ms = timed(noisy)
        assert denoised.shape == noisy.shape, f"{denoiser.name} turned {noisy.shape} into {denoised.shape}"
        grey = _to_grey(denoised)
        if row.example:
            imaging.save_image(store.image(row.number, denoiser.name), grey)
        quality = measure_image_quality(grey, reference)
        return {"psnr": quality.psnr, "ssim": quality.ssim, "ms": ms}

    return _measure_rows(
        store.table(denoiser.name), denoiser.version, DENOISER_COLUMNS, rows, measure, progress, faults
    )


def measure_classifier(
    classifier: "BenchmarkClassifier",
    rows: Sequence[TestRow],
    store: BenchmarkResultStore,
    progress: ProgressCallback,
    faults: list[str],
) -> pd.DataFrame:
    """Classify each row's noisy image; see ``measure_denoiser``. The columns are those of ``CLASSIFIER_COLUMNS``."""
    timed = _TimedCall(classifier.probability)

    def measure(row: TestRow) -> RowMetrics:
        probability, ms = timed(imaging.load_image(row.noisy, classifier.channels))
        return {"p_defect": probability, "ms": ms}

    return _measure_rows(
        store.table(classifier.name), classifier.version, CLASSIFIER_COLUMNS, rows, measure, progress, faults
    )


def choose_best_by_type(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Choose the best untrained method for each noise type, as a user who knows the noise type could.

    The best has the highest mean PSNR on these same rows, which favours it.

    Args:
        tables: the rows of each untrained method, by its name.

    Returns:
        The rows of the chosen methods, and the name of the method by noise type.
    """
    kinds = next(iter(tables.values()))["noise_type"].unique().tolist()
    chosen = {
        kind: max(tables, key=lambda name: float(tables[name].loc[tables[name]["noise_type"] == kind, "psnr"].mean()))
        for kind in kinds
    }
    rows = [tables[name][tables[name]["noise_type"] == kind] for kind, name in chosen.items()]
    return pd.concat(rows).sort_values("row", ignore_index=True), chosen


def image_quality_lines(name: str, table: pd.DataFrame, seed: int) -> list[dict[str, object]]:
    """Compute PSNR (dB; identical images, which have none, are left out) and SSIM of a denoiser's rows."""
    sample = ClusterBootstrap(table["part"].to_numpy(str), seed=seed)
    return [
        _metric_line(name, measure, kind, estimate_mean(table, measure, rows, sample), table[rows])
        for measure in ("psnr", "ssim")
        for kind, rows in _by_noise_type(table)
    ]


def classification_lines(name: str, table: pd.DataFrame, seed: int) -> list[dict[str, object]]:
    """Compute ROC area, and at a threshold of 0.5 accuracy, sensitivity and specificity of a classifier's rows."""
    probability = table["p_defect"].to_numpy(float)
    require_finite(f"{name}: probabilities of defect", probability)
    predicted = np.where(probability > 0.5, Label.DEFECT.value, Label.OK.value)
    logits = log_odds(probability.clip(0, 1))
    predictions = table.assign(**{f"logit_{Stage.NOISY}": logits, f"said_{Stage.NOISY}": predicted})
    lines: list[dict[str, object]] = []
    for kind, rows in _by_noise_type(table):
        metrics = estimate_classification(predictions[rows], seed)[Stage.NOISY.value]
        lines += [
            _metric_line(name, measure, kind, metrics[measure], table[rows]) for measure in CLASSIFICATION_METRICS
        ]
    return lines


def to_benchmark_table(lines: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Make the table of ``benchmark.csv``."""
    return pd.DataFrame(lines, columns=BENCHMARK_COLUMNS)


class _TimedCall(Generic[MeasuredT]):
    """Calls a function and measures milliseconds; the first call is repeated, since a first run is slow."""

    def __init__(self, call: Callable[[ImageArray], MeasuredT]) -> None:
        self._call = call
        self._warm = False

    def __call__(self, image: ImageArray) -> tuple[MeasuredT, float]:
        if not self._warm:
            self._call(image)
            self._warm = True
        start = time.perf_counter()
        result = self._call(image)
        return result, (time.perf_counter() - start) * 1e3


def _measure_rows(
    path: Path,
    version: str,
    columns: Sequence[str],
    rows: Sequence[TestRow],
    measure: Callable[[TestRow], RowMetrics],
    progress: ProgressCallback,
    faults: list[str],
) -> pd.DataFrame:
    """Measure the rows that a table does not have yet, and append each to it."""
    done = _read_measured_rows(path, version, columns)
    with replace_file(path) as temporary:  # drops rows of other versions, and a row that was cut off
        _write_lines(
            temporary,
            "w",
            [_KEY_COLUMNS + tuple(columns), *(_csv_line(number, version, done[number]) for number in done)],
        )
    for count, row in enumerate(rows, 1):
        if row.number not in done:
            try:
                done[row.number] = {name: round(value, _DECIMALS) for name, value in measure(row).items()}
            except PictureError as error:
                faults.append(f"row {row.number}: {error}")
                continue
            _write_lines(path, "a", [_csv_line(row.number, version, done[row.number])])
        progress(count, len(rows))
    return _to_row_table([row for row in rows if row.number in done], done, columns)


def _to_row_table(rows: Sequence[TestRow], measured: dict[int, RowMetrics], columns: Sequence[str]) -> pd.DataFrame:
    keys = {
        "row": [row.number for row in rows],
        "part": [row.part for row in rows],
        "label": [row.label for row in rows],
        "noise_type": [row.noise_type for row in rows],
    }
    return pd.DataFrame(keys | {name: [measured[row.number][name] for row in rows] for name in columns})


def _csv_line(number: int, version: str, values: RowMetrics) -> tuple[object, ...]:
    return (number, version, *values.values())


def _write_lines(path: Path, mode: str, lines: Sequence[Sequence[object]]) -> None:
    with path.open(mode, newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


def _read_measured_rows(path: Path, version: str, columns: Sequence[str]) -> dict[int, RowMetrics]:
    """Read the rows of a version; skips a line that was cut off, which has too few cells or one that is no number."""
    if not path.exists():
        return {}
    rows: dict[int, RowMetrics] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            try:
                if line["version"] == version:
                    rows[int(line["row"])] = {name: float(line[name]) for name in columns}
            except (KeyError, TypeError, ValueError):
                continue
    return rows


def _load_pair(row: TestRow, channels: Channels) -> tuple[ImageArray, ImageArray]:
    noisy, reference = imaging.load_image(row.noisy, channels), imaging.load_image(row.reference, Channels.GREY)
    if noisy.shape[:2] != reference.shape or min(reference.shape) < _MIN_SIDE:
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"{row.noisy}: expected the size of its reference, at least {_MIN_SIDE} pixels a side; got "
            f"{noisy.shape[1]} x {noisy.shape[0]} and a reference of {reference.shape[1]} x {reference.shape[0]}",
        )
    return noisy, reference


def _to_grey(image: ImageArray) -> ImageArray:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _metric_line(name: str, measure: str, kind: str, value: ValueWithCI, rows: pd.DataFrame) -> dict[str, object]:
    return {
        "contender": name,
        "measure": measure,
        "noise_type": kind,
        **value,
        "images": len(rows),
        "parts": rows["part"].nunique(),
        "ms": round(float(rows["ms"].median()), 3),
    }


def _by_noise_type(table: pd.DataFrame) -> Iterator[tuple[str, BoolArray]]:
    """Select all rows, and the rows of each noise type that has any."""
    yield ALL_TYPES_KEY, np.ones(len(table), bool)
    for kind in NoiseType:
        rows = (table["noise_type"] == kind.value).to_numpy(bool)
        if rows.any():
            yield kind.value, rows
