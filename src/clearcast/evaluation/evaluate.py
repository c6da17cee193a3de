"""Evaluation of a bundle on a labelled sheet (``clearcast evaluate``), with ONNX Runtime; needs no torch."""

import json
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from clearcast.bundle.archive import open_package
from clearcast.bundle.signing import TrustedSigners
from clearcast.core import imaging
from clearcast.core.console import show_progress
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import ModelOutputError, OutputError
from clearcast.core.evidence_schema import Evidence
from clearcast.core.files import replace_file
from clearcast.core.spreadsheets import protect_table
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.data.validation import filter_usable_rows
from clearcast.evaluation.leakage import HeldOutRows, find_held_out_rows
from clearcast.inference.inspector import available_cores
from clearcast.inference.model import OnnxModel
from clearcast.inference.prediction import Prediction
from clearcast.inference.verification import load_verified_model
from clearcast.metrics.evidence.build import build_evidence
from clearcast.metrics.evidence.scores import DecisionPolicy
from clearcast.metrics.prediction_table import prediction_columns, refuse_small_images


@dataclass(frozen=True, kw_only=True)
class MeasureRequest:
    """Arguments that ``evaluate`` and ``compare`` share.

    Attributes:
        sheet: labelled images with their noise types and reference images.
        groups: file of groups, see ``read_groups_file``; None: as a compared bundle lists them, else the
            sheet's column, or found by similarity.
        out: a new or empty folder for the tables; None: none are written.
        skip_bad: leave out rows that cannot be used.
        threads: how many images are processed at a time; None: as many as there are cores.
        trust: public keys, one of which must have signed each bundle; None: no signature is required.
        seed: of the bootstrap.
        console: shows progress.
    """

    sheet: Sheet
    groups: Path | None = None
    out: Path | None = None
    skip_bad: bool = False
    threads: int | None = None
    trust: TrustedSigners | None = None
    seed: int = 7
    console: Console


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(MeasureRequest):
    """Arguments of ``evaluate``; ``bundle``: its folder or zip."""

    bundle: Path


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Result of an evaluation.

    Attributes:
        table: a row for each image, ``predictions.csv``.
        evidence: measures with confidence intervals.
        used_rows: how many rows were left out because the bundle was trained, or its threshold chosen, on them.
    """

    table: pd.DataFrame
    evidence: Evidence
    used_rows: int


def evaluate_bundle(request: EvaluateRequest) -> EvaluationResult:
    """Predict for the images of a sheet, and measure the predictions; see ``EvaluateRequest``.

    Raises:
        OutputError: the bundle cannot be used, or the folder is not empty.
        SheetError: the sheet or the groups cannot be used, or the bundle was trained on all rows.
    """
    package = open_package(request.bundle, request.trust)
    model = load_verified_model(package)
    require_empty_folder(request.out)
    rows = filter_usable_rows(request.sheet, skip_bad=request.skip_bad, console=request.console, paired=False)
    refuse_small_images(rows)
    held_out = find_held_out_rows([package], rows, request.groups, request.console)
    make_row = partial(_prediction_row, model, request.sheet)
    table = build_prediction_table(make_row, held_out, "Measuring images", request.threads, request.console)
    evidence = build_evidence(table, None, None, DecisionPolicy(), seed=request.seed)
    if request.out:
        write_output_file(request.out / "predictions.csv", partial(protect_table(table).to_csv, index=False))
        text = json.dumps(evidence, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_output_file(request.out / "evidence.json", lambda path: path.write_text(text, encoding="utf-8"))
    return EvaluationResult(table=table, evidence=evidence, used_rows=held_out.used[0])


def build_prediction_table(
    make_row: Callable[[SheetRow, str], dict[Hashable, Any]],
    held_out: HeldOutRows,
    title: str,
    threads: int | None,
    console: Console,
) -> pd.DataFrame:
    """Build a table of predictions for held-out rows by several threads.

    Args:
        make_row: makes the columns of a row of the table from a row of the sheet and its part.
        held_out: rows of the sheet.
        title: label of the progress bar.
        threads: how many rows are processed at a time; None: as many as there are cores.
        console: shows progress.
    """
    rows: list[dict[Hashable, Any]] = []
    with ThreadPoolExecutor(threads or available_cores()) as pool, show_progress(console, title, rate=True) as progress:
        for row in pool.map(make_row, held_out.rows, held_out.parts):
            rows.append(row)
            progress(len(rows), len(held_out.rows))
    return pd.DataFrame(rows).round(6)


def _prediction_row(model: OnnxModel, sheet: Sheet, row: SheetRow, part: str) -> dict[Hashable, Any]:
    noisy = imaging.load_image(sheet.resolve(row.noisy), model.channels)
    reference = imaging.load_image(sheet.resolve(row.reference), model.channels) if row.reference else None
    columns: dict[Hashable, Any] = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
    columns |= {"label": str(row.label), "noise_type": str(row.noise_type)}
    predict = partial(predict_for_measuring, model, row.noisy)
    return columns | prediction_columns(noisy, predict(noisy), reference, predict)


def predict_for_measuring(model: OnnxModel, name: str, image: ImageArray) -> Prediction:
    """Predict with a bundle, with the denoised image, for an image that is uint8 in the bundle's channels.

    Raises:
        OutputError: an output is impossible; the message begins with the image's ``name``.
    """
    try:
        return model.predict(image)
    except ModelOutputError as error:
        raise OutputError(f"{name}: the bundle's prediction cannot be measured ({error})") from None


def require_empty_folder(out: Path | None) -> None:
    """Require an output folder to be new or empty.

    Raises:
        OutputError: it is neither.
    """
    if out and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: expected a new or empty folder; choose another with --out")


def write_output_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically with ``write``.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as temporary:
            write(temporary)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error})") from None
