"""Show test images to one contender after the other; each row is kept as soon as it is measured."""

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
_SMALLEST = 11  # pixels a side: the window of SSIM
_DIGITS = 6  # in the table and in memory alike: a benchmark that was stopped comes to the same figures
Said = TypeVar("Said")
Values = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One test row: what is known of it, its files, and whether its images are kept to be looked at."""

    number: int
    part: str
    label: str
    noise_type: str
    noisy: Path
    reference: Path
    example: bool


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Keeps what was measured in ``folder/rows``, and what examples look like in ``folder/pictures``."""

    folder: Path

    def image(self, row: int, name: str) -> Path:
        """Where a contender's image of a row is kept."""
        return self.folder / "pictures" / f"{row}-{name}.png"

    def table(self, name: str) -> Path:
        """Where the rows of a contender are kept."""
        return self.folder / "rows" / f"{name}.csv"


def measure_denoiser(
    denoiser: Denoiser, rows: Sequence[Shown], ledger: Ledger, progress: Progress, faults: list[str]
) -> pd.DataFrame:
    """Measure what a denoiser makes of each row's noisy image, in grey at full size.

    Args:
        denoiser: the contender.
        rows: the test rows.
        ledger: where rows are kept; those that it holds already are not measured again.
        progress: called after each row.
        faults: gets a sentence for each image that cannot be used; its row is left out.

    Returns:
        a table with the columns ``row, part, label, noise_type`` and those of ``RESTORED``.
    """
    timed = _Timed(denoiser.restore)

    def measure(row: Shown) -> Values:
        noisy, reference = _pair(row, denoiser.channels)
        clean, ms = timed(noisy)
        assert clean.shape == noisy.shape, f"{denoiser.name} turned {noisy.shape} into {clean.shape}"
        grey = _grey(clean)
        if row.example:
            imaging.save(ledger.picture(row.number, denoiser.name), grey)
        result = fidelity(grey, reference)
        return {"psnr": result.psnr, "ssim": result.ssim, "ms": ms}

    return _measured(ledger.table(denoiser.name), denoiser.version, RESTORED, rows, measure, progress, faults)


def measure_judge(
    judge: Judge, rows: Sequence[Shown], ledger: Ledger, progress: Progress, faults: list[str]
) -> pd.DataFrame:
    """Ask a judge about each row's noisy image; see ``measure_denoiser``. The columns are those of ``JUDGED``."""
    timed = _Timed(judge.probability)

    def measure(row: Shown) -> Values:
        probability, ms = timed(imaging.load(row.noisy, judge.channels))
        return {"p_defect": probability, "ms": ms}

    return _measured(ledger.table(judge.name), judge.version, JUDGED, rows, measure, progress, faults)


class _Timed(Generic[Said]):
    """A call with its milliseconds; the first image is shown twice, since whatever runs first is slow."""

    def __init__(self, call: Callable[[Picture], Said]) -> None:
        self._call = call
        self._warm = False

    def __call__(self, image: Picture) -> tuple[Said, float]:
        if not self._warm:
            self._call(image)
            self._warm = True
        start = time.perf_counter()
        said = self._call(image)
        return said, (time.perf_counter() - start) * 1e3


def _measured(
    path: Path,
    version: str,
    columns: Sequence[str],
    rows: Sequence[Shown],
    measure: Callable[[Shown], Values],
    progress: Progress,
    faults: list[str],
) -> pd.DataFrame:
    done = _kept(path, version, columns)
    with replace_file(path) as temporary:  # without what is of another version, or was cut off in the middle
        _write(temporary, "w", [_FIRST + tuple(columns), *(_line(number, version, done[number]) for number in done)])
    for count, row in enumerate(rows, 1):
        if row.number not in done:
            try:
                done[row.number] = {name: round(value, _DIGITS) for name, value in measure(row).items()}
            except PictureError as error:
                faults.append(f"row {row.number}: {error}")
                continue
            _write(path, "a", [_line(row.number, version, done[row.number])])
        progress(count, len(rows))
    known = [row for row in rows if row.number in done]
    about = {
        "row": [row.number for row in known],
        "part": [row.part for row in known],
        "label": [row.label for row in known],
        "noise_type": [row.noise_type for row in known],
    }
    return pd.DataFrame(about | {name: [done[row.number][name] for row in known] for name in columns})


_FIRST = ("row", "version")


def _line(number: int, version: str, values: Values) -> tuple[object, ...]:
    return (number, version, *values.values())


def _write(path: Path, mode: str, lines: Sequence[Sequence[object]]) -> None:
    with path.open(mode, newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


def _kept(path: Path, version: str, columns: Sequence[str]) -> dict[int, Values]:
    """What a table holds of this version. A line that was cut off has too few cells, or one that is no number."""
    if not path.exists():
        return {}
    kept: dict[int, Values] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            try:
                if line["version"] == version:
                    kept[int(line["row"])] = {name: float(line[name]) for name in columns}
            except (KeyError, TypeError, ValueError):
                continue
    return kept


def _pair(row: Shown, channels: Channels) -> tuple[Picture, Picture]:
    noisy, reference = imaging.load(row.noisy, channels), imaging.load(row.reference, Channels.GREY)
    if noisy.shape[:2] != reference.shape or min(reference.shape) < _SMALLEST:
        raise PictureError(
            PictureFault.UNSUPPORTED,
            f"{row.noisy}: has {noisy.shape[1]} x {noisy.shape[0]} pixels and its reference {reference.shape[1]} x "
            f"{reference.shape[0]}; needed is the same size, at least {_SMALLEST} a side",
        )
    return noisy, reference


def _grey(image: Picture) -> Picture:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
