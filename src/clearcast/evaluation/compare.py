"""Comparison of two bundles on the same labelled images (``clearcast compare``); needs no torch."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from clearcast.bundle.archive import BundlePackage, open_package
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError
from clearcast.core.numbers import sigmoid
from clearcast.core.spreadsheets import protect_table
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.data.validation import filter_usable_rows
from clearcast.evaluation.evaluate import (
    MeasureRequest,
    build_prediction_table,
    predict_for_measuring,
    require_empty_folder,
    write_output_file,
)
from clearcast.evaluation.leakage import HeldOutRows, find_held_out_rows
from clearcast.inference.decision import read_decision_rule
from clearcast.inference.model import OnnxModel
from clearcast.inference.prediction import Prediction
from clearcast.inference.verification import load_verified_model
from clearcast.metrics.evidence.comparison import (
    BundleDifference,
    describe_differences,
    list_changed_verdicts,
    measure_differences,
)
from clearcast.metrics.image_quality import measure_image_quality
from clearcast.metrics.prediction_table import refuse_small_images
from clearcast.types import Verdict

_SIDES = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class CompareRequest(MeasureRequest):
    """Arguments of ``compare``; ``first`` and ``second``: bundles A and B, each a folder or a zip."""

    first: Path
    second: Path


@dataclass(frozen=True, kw_only=True)
class ComparisonResult:
    """Result of a comparison.

    Attributes:
        table: a row for each image.
        differences: of every measure, see ``measure_differences``.
        changed: the images whose verdict differs, see ``list_changed_verdicts``.
        conclusions: sentences for the user, the one on verdicts first.
        notes: which bundle is A and which is B, what could not be compared, and which rows were left out.
    """

    table: pd.DataFrame
    differences: list[BundleDifference]
    changed: pd.DataFrame
    conclusions: list[str]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class _LoadedBundle:
    """One of the two bundles."""

    package: BundlePackage
    model: OnnxModel

    def predict(self, path: Path, channels: Channels) -> tuple[Prediction, ImageArray]:
        """Return the prediction for an image, and the denoised image in the channels that both are measured in."""
        image = imaging.load_image(path, self.model.channels)
        prediction = predict_for_measuring(self.model, f"{path}, {self.package.name}", image)
        assert prediction.denoised is not None
        if self.model.channels is channels:
            return prediction, prediction.denoised
        return prediction, np.asarray(cv2.cvtColor(prediction.denoised, cv2.COLOR_RGB2GRAY), np.uint8)

    def verdict(self, log_odds: float, *, defect: bool) -> Verdict:
        """Return the verdict in production, which may be retake."""
        rule = read_decision_rule(self.package.manifest)
        if rule and rule.verdict(sigmoid(log_odds)) is Verdict.RETAKE:
            return Verdict.RETAKE
        return Verdict.DEFECT if defect else Verdict.OK


def compare_bundles(request: CompareRequest) -> ComparisonResult:
    """Compare the predictions of two bundles for the same images; see ``CompareRequest``.

    Raises:
        OutputError: a bundle cannot be used, both are the same, or the folder is not empty.
        SheetError: the sheet or the groups cannot be used, or at least one bundle was trained on each row.
    """
    packages = [open_package(path, request.trust) for path in (request.first, request.second)]
    if packages[0].manifest["seal"] == packages[1].manifest["seal"]:
        raise OutputError(f"expected two different bundles, got the same twice: {request.first} and {request.second}")
    bundles = [_LoadedBundle(package=package, model=load_verified_model(package)) for package in packages]
    require_empty_folder(request.out)
    rows = filter_usable_rows(request.sheet, skip_bad=request.skip_bad, console=request.console, paired=False)
    refuse_small_images(rows)
    held_out = find_held_out_rows(packages, rows, request.groups, request.console)
    table = build_prediction_table(
        partial(_prediction_row, bundles, request.sheet), held_out, "Comparing", request.threads, request.console
    )
    differences, changes = measure_differences(table, request.seed), list_changed_verdicts(table)
    result = ComparisonResult(
        table=table,
        differences=differences,
        changed=changes,
        conclusions=describe_differences(differences, changes),
        notes=_notes(bundles, held_out, len(rows.sheet.rows)),
    )
    if request.out:
        _write_tables(result, request.out)
    return result


def _prediction_row(bundles: list[_LoadedBundle], sheet: Sheet, row: SheetRow, part: str) -> dict[Hashable, Any]:
    channels = _common_channels(bundles)
    reference = imaging.load_image(sheet.resolve(row.reference), channels) if row.reference else None
    columns: dict[Hashable, Any] = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
    columns |= {"label": str(row.label), "noise_type": str(row.noise_type)}
    for side, bundle in zip(_SIDES, bundles, strict=True):
        prediction, denoised = bundle.predict(sheet.resolve(row.noisy), channels)
        columns |= {f"said_noise_type_{side}": prediction.noise.noise_type.value}
        quality = measure_image_quality(denoised, reference) if reference is not None else None
        columns |= {
            f"psnr_{side}": getattr(quality, "psnr", math.nan),
            f"ssim_{side}": getattr(quality, "ssim", math.nan),
        }
        if prediction.log_odds is not None and prediction.defect is not None:
            columns |= {f"p_defect_{side}": sigmoid(prediction.log_odds), f"logit_{side}": prediction.log_odds}
            columns |= {f"said_{side}": bundle.verdict(prediction.log_odds, defect=prediction.defect).value}
    return columns


def _common_channels(bundles: list[_LoadedBundle]) -> Channels:
    """Return the channels in which denoised images are measured: the bundles' own or, if these differ, grey."""
    first, second = (bundle.model.channels for bundle in bundles)
    return first if first is second else Channels.GREY


def _notes(bundles: list[_LoadedBundle], held_out: HeldOutRows, count: int) -> list[str]:
    notes = []
    for name, bundle in zip("AB", bundles, strict=True):
        manifest, colour = bundle.package.manifest, bundle.model.channels is Channels.RGB
        threshold = f"threshold {manifest['threshold']:.6g}" if manifest["threshold"] is not None else "no verdicts"
        notes.append(
            f"{name}: {bundle.package.name} {manifest['fingerprint'][:8]}, "
            f"{'colour' if colour else 'grey'}, {threshold}"
        )
    for name, bundle in zip("AB", bundles, strict=True):
        if bundle.package.manifest["threshold"] is None:
            reason = bundle.package.manifest["no_judge"]
            notes.append(f"{name} gives no verdicts ({reason}); verdicts are not compared.")
    if bundles[0].model.channels is not bundles[1].model.channels:
        notes.append("One bundle uses colour and the other grey: denoised images are compared in grey.")
    if any(held_out.used):
        used = " and ".join(f"{name} used {number}" for name, number in zip("AB", held_out.used, strict=True))
        notes.append(
            f"Of the sheet's {count} rows, {used} for training or for choosing the threshold; only the "
            f"{len(held_out.rows)} others are compared."
        )
    return notes


def _write_tables(result: ComparisonResult, out: Path) -> None:
    """Write ``predictions.csv``, ``differences.csv``, ``changed.csv`` and ``conclusion.txt``."""
    write_output_file(out / "predictions.csv", partial(protect_table(result.table).to_csv, index=False))
    write_output_file(out / "differences.csv", partial(_to_difference_table(result.differences).to_csv, index=False))
    write_output_file(out / "changed.csv", partial(protect_table(result.changed).to_csv, index=False))
    text = "\n".join([*result.conclusions, "", *result.notes]) + "\n"
    write_output_file(out / "conclusion.txt", lambda path: path.write_text(text, encoding="utf-8"))


def _to_difference_table(differences: list[BundleDifference]) -> pd.DataFrame:
    """Make a row for each measure: the values of A, of B and of B minus A with intervals, and the better bundle."""
    rows = []
    for each in differences:
        row: dict[str, object] = {"aspect": each.aspect.value, "measure": each.measure, "noise": each.noise}
        row |= {"images": each.images, "parts": each.parts}
        for name, value in (("a", each.first), ("b", each.second), ("difference", each.difference)):
            row |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
        rows.append(row | {"better": each.better or ""})
    return pd.DataFrame(rows).round(6)
