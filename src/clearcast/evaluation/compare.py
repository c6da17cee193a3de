"""Compare two bundles on the same labelled images: which is better, and which verdicts change; needs no torch."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from rich.console import Console

from clearcast.bundle.archive import BundlePackage, open_package
from clearcast.bundle.signing import TrustedSigners
from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels, ImageArray
from clearcast.core.errors import OutputError
from clearcast.core.numbers import sigmoid
from clearcast.core.spreadsheets import protect_table
from clearcast.data.sheet import Sheet, SheetRow
from clearcast.data.validation import filter_usable_rows
from clearcast.evaluation.evaluate import (
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
from clearcast.pipelines.training_data import refuse_small_images
from clearcast.types import Verdict

_SIDES = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """Arguments of ``compare``.

    Attributes:
        first, second: bundles A and B, each a folder or a zip.
        sheet: labelled images with their noise types and reference images.
        groups: file of groups, see ``read_groups_file``; None: as a bundle lists them, else the sheet's column, or
            found by similarity.
        out: a new or empty folder for the tables; None: none are written.
        skip_bad: leave out rows that cannot be used.
        threads: how many images are processed at a time; None: as many as there are cores.
        trust: public keys, one of which must have signed each bundle; None: no signature is required.
        seed: of the bootstrap.
        console: shows progress.
    """

    first: Path
    second: Path
    sheet: Sheet
    groups: Path | None = None
    out: Path | None = None
    skip_bad: bool = False
    threads: int | None = None
    trust: TrustedSigners | None = None
    seed: int = 7
    console: Console


@dataclass(frozen=True, kw_only=True)
class ComparisonResult:
    """Result of a comparison.

    Attributes:
        table: a row for each image, see ``evidence/differences.py``.
        differences: of every measure.
        changed: the images whose verdict differs, see there.
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
    both = [_LoadedBundle(package=package, model=load_verified_model(package)) for package in packages]
    require_empty_folder(request.out)
    rows = filter_usable_rows(request.sheet, skip_bad=request.skip_bad, console=request.console, paired=False)
    refuse_small_images(rows)
    fresh = find_held_out_rows(packages, rows, request.groups, request.console)
    table = build_prediction_table(
        partial(_line, both, request.sheet), fresh, "Comparing", request.threads, request.console
    )
    found, changes = measure_differences(table, request.seed), list_changed_verdicts(table)
    compared = ComparisonResult(
        table=table,
        differences=found,
        changed=changes,
        conclusions=describe_differences(found, changes),
        notes=_notes(both, fresh, len(rows.sheet.rows)),
    )
    if request.out:
        _write_tables(compared, request.out)
    return compared


def _line(both: list[_LoadedBundle], sheet: Sheet, row: SheetRow, part: str) -> dict[Hashable, Any]:
    channels = _common_channels(both)
    reference = imaging.load_image(sheet.resolve(row.reference), channels) if row.reference else None
    line: dict[Hashable, Any] = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
    line |= {"label": str(row.label), "noise_type": str(row.noise_type)}
    for side, each in zip(_SIDES, both, strict=True):
        prediction, denoised = each.predict(sheet.resolve(row.noisy), channels)
        line |= {f"said_noise_type_{side}": prediction.noise.noise_type.value}
        quality = measure_image_quality(denoised, reference) if reference is not None else None
        line |= {
            f"psnr_{side}": getattr(quality, "psnr", math.nan),
            f"ssim_{side}": getattr(quality, "ssim", math.nan),
        }
        if prediction.log_odds is not None and prediction.defect is not None:
            line |= {f"p_defect_{side}": sigmoid(prediction.log_odds), f"logit_{side}": prediction.log_odds}
            line |= {f"said_{side}": each.verdict(prediction.log_odds, defect=prediction.defect).value}
    return line


def _common_channels(both: list[_LoadedBundle]) -> Channels:
    """Return the channels in which denoised images are measured: the bundles' own or, if these differ, grey."""
    return both[0].model.channels if both[0].model.channels is both[1].model.channels else Channels.GREY


def _notes(both: list[_LoadedBundle], fresh: HeldOutRows, count: int) -> list[str]:
    notes = []
    for name, each in zip("AB", both, strict=True):
        manifest, colour = each.package.manifest, each.model.channels is Channels.RGB
        judges = f"threshold {manifest['threshold']:.6g}" if manifest["threshold"] is not None else "no verdicts"
        notes.append(
            f"{name}: {each.package.name} {manifest['fingerprint'][:8]}, {'colour' if colour else 'grey'}, {judges}"
        )
    for name, each in zip("AB", both, strict=True):
        if each.package.manifest["threshold"] is None:
            why = each.package.manifest["no_judge"]
            notes.append(f"{name} gives no verdicts ({why}); verdicts are not compared.")
    if both[0].model.channels is not both[1].model.channels:
        notes.append("One bundle uses colour and the other grey: denoised images are compared in grey.")
    if any(fresh.learned):
        learned = " and ".join(f"{name} used {number}" for name, number in zip("AB", fresh.learned, strict=True))
        notes.append(
            f"Of the sheet's {count} rows, {learned} for training or for choosing the threshold; only the "
            f"{len(fresh.rows)} others are compared."
        )
    return notes


def _write_tables(compared: ComparisonResult, out: Path) -> None:
    """Write ``predictions.csv``, ``differences.csv``, ``changed.csv`` and ``conclusion.txt``."""
    write_output_file(out / "predictions.csv", partial(protect_table(compared.table).to_csv, index=False))
    write_output_file(out / "differences.csv", partial(_flat(compared.differences).to_csv, index=False))
    write_output_file(out / "changed.csv", partial(protect_table(compared.changed).to_csv, index=False))
    text = "\n".join([*compared.conclusions, "", *compared.notes]) + "\n"
    write_output_file(out / "conclusion.txt", lambda path: path.write_text(text, encoding="utf-8"))


def _flat(found: list[BundleDifference]) -> pd.DataFrame:
    """Return a row for each measure: figures of A, of B and of B minus A with their intervals, and which is better."""
    lines = []
    for each in found:
        line: dict[str, object] = {"aspect": each.aspect.value, "measure": each.measure, "noise": each.noise}
        line |= {"images": each.images, "parts": each.parts}
        for name, figure in (("a", each.first), ("b", each.second), ("difference", each.difference)):
            line |= {name: figure["value"], f"{name}_low": figure["low"], f"{name}_high": figure["high"]}
        lines.append(line | {"better": each.better or ""})
    return pd.DataFrame(lines).round(6)
