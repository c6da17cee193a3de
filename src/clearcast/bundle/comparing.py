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

from clearcast import imaging
from clearcast.bundle.evaluating import predict_for, require_empty, table_of, write_file
from clearcast.bundle.sizes import refuse_tiny
from clearcast.bundle.unlearned import Unlearned, unlearned
from clearcast.cells import protect_table
from clearcast.data.sheet import Row, Sheet
from clearcast.data.usable import usable
from clearcast.domain import Verdict
from clearcast.errors import OutputError
from clearcast.evaluation.evidence.conclusions import conclusions
from clearcast.evaluation.evidence.differences import Difference, changed, differences
from clearcast.evaluation.fidelity import fidelity
from clearcast.imaging import Channels, Picture
from clearcast.log_odds import sigmoid
from clearcast.runtime.answers import Prediction
from clearcast.runtime.model import Model
from clearcast.runtime.package import Package, open_package
from clearcast.runtime.signing import Trust
from clearcast.runtime.verdicts import rule_of
from clearcast.runtime.verifying import load_model

_SIDES = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """Arguments of ``compare``.

    Attributes:
        first, second: bundles A and B, each a folder or a zip.
        sheet: labelled images with their noise types and reference images.
        groups: file of groups, see ``read_groups``; None: as a bundle lists them, else the sheet's column, or found by
            similarity.
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
    trust: Trust | None = None
    seed: int = 7
    console: Console


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Result of a comparison.

    Attributes:
        table: a row for each image, see ``evidence/differences.py``.
        differences: of every measure.
        changed: the images whose verdict differs, see there.
        conclusions: sentences for the user, the one on verdicts first.
        notes: which bundle is A and which is B, what could not be compared, and which rows were left out.
    """

    table: pd.DataFrame
    differences: list[Difference]
    changed: pd.DataFrame
    conclusions: list[str]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class _LoadedBundle:
    """One of the two bundles."""

    package: Package
    model: Model

    def predict(self, path: Path, channels: Channels) -> tuple[Prediction, Picture]:
        """Return the prediction for an image, and the denoised image in the channels that both are measured in."""
        image = imaging.load(path, self.model.channels)
        prediction = predict_for(self.model, f"{path}, {self.package.name}", image)
        assert prediction.denoised is not None
        if self.model.channels is channels:
            return prediction, prediction.denoised
        return prediction, np.asarray(cv2.cvtColor(prediction.denoised, cv2.COLOR_RGB2GRAY), np.uint8)

    def verdict(self, log_odds: float, *, defect: bool) -> Verdict:
        """Return the verdict in production, which may be retake."""
        rule = rule_of(self.package.manifest)
        if rule and rule.verdict(sigmoid(log_odds)) is Verdict.RETAKE:
            return Verdict.RETAKE
        return Verdict.DEFECT if defect else Verdict.OK


def compare(request: CompareRequest) -> Compared:
    """Compare the predictions of two bundles for the same images; see ``CompareRequest``.

    Raises:
        OutputError: a bundle cannot be used, both are the same, or the folder is not empty.
        SheetError: the sheet or the groups cannot be used, or at least one bundle was trained on each row.
    """
    packages = [open_package(path, request.trust) for path in (request.first, request.second)]
    if packages[0].manifest["seal"] == packages[1].manifest["seal"]:
        raise OutputError(f"expected two different bundles, got the same twice: {request.first} and {request.second}")
    both = [_LoadedBundle(package=package, model=load_model(package)) for package in packages]
    require_empty(request.out)
    rows = usable(request.sheet, skip_bad=request.skip_bad, console=request.console, paired=False)
    refuse_tiny(rows)
    fresh = unlearned(packages, rows, request.groups, request.console)
    table = table_of(partial(_line, both, request.sheet), fresh, "Comparing", request.threads, request.console)
    found, changes = differences(table, request.seed), changed(table)
    compared = Compared(
        table=table,
        differences=found,
        changed=changes,
        conclusions=conclusions(found, changes),
        notes=_notes(both, fresh, len(rows.sheet.rows)),
    )
    if request.out:
        _write_tables(compared, request.out)
    return compared


def _line(both: list[_LoadedBundle], sheet: Sheet, row: Row, part: str) -> dict[Hashable, Any]:
    channels = _common_channels(both)
    reference = imaging.load(sheet.resolve(row.reference), channels) if row.reference else None
    line: dict[Hashable, Any] = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
    line |= {"label": str(row.label), "noise_type": str(row.noise_type)}
    for side, each in zip(_SIDES, both, strict=True):
        prediction, denoised = each.predict(sheet.resolve(row.noisy), channels)
        line |= {f"said_noise_type_{side}": prediction.noise.noise_type.value}
        quality = fidelity(denoised, reference) if reference is not None else None
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


def _notes(both: list[_LoadedBundle], fresh: Unlearned, count: int) -> list[str]:
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


def _write_tables(compared: Compared, out: Path) -> None:
    """Write ``predictions.csv``, ``differences.csv``, ``changed.csv`` and ``conclusion.txt``."""
    write_file(out / "predictions.csv", partial(protect_table(compared.table).to_csv, index=False))
    write_file(out / "differences.csv", partial(_flat(compared.differences).to_csv, index=False))
    write_file(out / "changed.csv", partial(protect_table(compared.changed).to_csv, index=False))
    text = "\n".join([*compared.conclusions, "", *compared.notes]) + "\n"
    write_file(out / "conclusion.txt", lambda path: path.write_text(text, encoding="utf-8"))


def _flat(found: list[Difference]) -> pd.DataFrame:
    """Return a row for each measure: figures of A, of B and of B minus A with their intervals, and which is better."""
    lines = []
    for each in found:
        line: dict[str, object] = {"aspect": each.aspect.value, "measure": each.measure, "noise": each.noise}
        line |= {"images": each.images, "parts": each.parts}
        for name, figure in (("a", each.first), ("b", each.second), ("difference", each.difference)):
            line |= {name: figure["value"], f"{name}_low": figure["low"], f"{name}_high": figure["high"]}
        lines.append(line | {"better": each.better or ""})
    return pd.DataFrame(lines).round(6)
