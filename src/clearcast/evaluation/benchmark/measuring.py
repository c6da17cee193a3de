"""Measure entrants on test images; each row is written to the result store as soon as it is measured."""

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
import pandas as pd

from clearcast import imaging
from clearcast.errors import PictureError, PictureFault
from clearcast.evaluation.benchmark.contenders import Denoiser, Judge
from clearcast.evaluation.fidelity import fidelity
from clearcast.files import replace_file
from clearcast.imaging import Channels, Picture
from clearcast.progress import Progress

RESTORED = ("psnr", "ssim", "ms")
JUDGED = ("p_defect", "ms")
_KEYS = ("row", "version")
_SMALLEST = 11  # pixels a side: the window of SSIM
_DIGITS = 6  # in the table and in memory, so that a resumed benchmark gives the same results
ResultT = TypeVar("ResultT")
Values = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A test row: its labels and files, and whether its images are kept as an example."""

    number: int
    part: str
    label: str
    noise_type: str
    noisy: Path
    reference: Path
    example: bool


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Result store of a benchmark: measured rows in ``folder/rows``, example images in ``folder/pictures``."""

    folder: Path

    def image(self, row: int, name: str) -> Path:
        """Return the path of an entrant's image of a row."""
        return self.folder / "pictures" / f"{row}-{name}.png"

    def table(self, name: str) -> Path:
        """Return the path of the rows of an entrant."""
        return self.folder / "rows" / f"{name}.csv"


def measure_denoiser(
    denoiser: Denoiser, rows: Sequence[Shown], store: Ledger, progress: Progress, faults: list[str]
) -> pd.DataFrame:
    """Measure a denoiser's quality on each row's noisy image, in grey at full size.

    Args:
        denoiser: the entrant.
        rows: the test rows.
        store: of the results; rows that it has already are not measured again.
        progress: called after each row.
        faults: receives a message for each image that cannot be used; its row is left out.

    Returns:
        A table with the columns ``row, part, label, noise_type`` and those of ``RESTORED``.
    """
    timed = _Timed(denoiser.denoise)

    def measure(row: Shown) -> Values:
        noisy, reference = _load_pair(row, denoiser.channels)
        denoised, ms = timed(noisy)
        assert denoised.shape == noisy.shape, f"{denoiser.name} turned {noisy.shape} into {denoised.shape}"
        grey = _to_grey(denoised)
        if row.example:
            imaging.save(store.image(row.number, denoiser.name), grey)
        quality = fidelity(grey, reference)
        return {"psnr": quality.psnr, "ssim": quality.ssim, "ms": ms}

    return _measure_rows(store.table(denoiser.name), denoiser.version, RESTORED, rows, measure, progress, faults)


def measure_judge(
    classifier: Judge, rows: Sequence[Shown], store: Ledger, progress: Progress, faults: list[str]
) -> pd.DataFrame:
    """Classify each row's noisy image; see ``measure_denoiser``. The columns are those of ``JUDGED``."""
    timed = _Timed(classifier.probability)

    def measure(row: Shown) -> Values:
        probability, ms = timed(imaging.load(row.noisy, classifier.channels))
        return {"p_defect": probability, "ms": ms}

    return _measure_rows(store.table(classifier.name), classifier.version, JUDGED, rows, measure, progress, faults)


class _Timed(Generic[ResultT]):
    """Calls a function and measures milliseconds; the first call is repeated, since a first run is slow."""

    def __init__(self, call: Callable[[Picture], ResultT]) -> None:
        self._call = call
        self._warm = False

    def __call__(self, image: Picture) -> tuple[ResultT, float]:
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
    rows: Sequence[Shown],
    measure: Callable[[Shown], Values],
    progress: Progress,
    faults: list[str],
) -> pd.DataFrame:
    """Measure the rows that a table does not have yet, and append each to it."""
    done = _read_rows(path, version, columns)
    with replace_file(path) as temporary:  # drops rows of other versions, and a row that was cut off
        _write(temporary, "w", [_KEYS + tuple(columns), *(_line(number, version, done[number]) for number in done)])
    for count, row in enumerate(rows, 1):
        if row.number not in done:
            try:
                done[row.number] = {name: round(value, _DIGITS) for name, value in measure(row).items()}
            except PictureError as error:
                faults.append(f"row {row.number}: {error}")
                continue
            _write(path, "a", [_line(row.number, version, done[row.number])])
        progress(count, len(rows))
    return _table([row for row in rows if row.number in done], done, columns)


def _table(rows: Sequence[Shown], measured: dict[int, Values], columns: Sequence[str]) -> pd.DataFrame:
    keys = {
        "row": [row.number for row in rows],
        "part": [row.part for row in rows],
        "label": [row.label for row in rows],
        "noise_type": [row.noise_type for row in rows],
    }
    return pd.DataFrame(keys | {name: [measured[row.number][name] for row in rows] for name in columns})


def _line(number: int, version: str, values: Values) -> tuple[object, ...]:
    return (number, version, *values.values())


def _write(path: Path, mode: str, lines: Sequence[Sequence[object]]) -> None:
    with path.open(mode, newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


def _read_rows(path: Path, version: str, columns: Sequence[str]) -> dict[int, Values]:
    """Read the rows of a version; skips a line that was cut off, which has too few cells or one that is no number."""
    if not path.exists():
        return {}
    rows: dict[int, Values] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            try:
                if line["version"] == version:
                    rows[int(line["row"])] = {name: float(line[name]) for name in columns}
            except (KeyError, TypeError, ValueError):
                continue
    return rows


def _load_pair(row: Shown, channels: Channels) -> tuple[Picture, Picture]:
    noisy, reference = imaging.load(row.noisy, channels), imaging.load(row.reference, Channels.GREY)
    if noisy.shape[:2] != reference.shape or min(reference.shape) < _SMALLEST:
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"{row.noisy}: expected the size of its reference, at least {_SMALLEST} pixels a side; got "
            f"{noisy.shape[1]} x {noisy.shape[0]} and a reference of {reference.shape[1]} x {reference.shape[0]}",
        )
    return noisy, reference


def _to_grey(image: Picture) -> Picture:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
