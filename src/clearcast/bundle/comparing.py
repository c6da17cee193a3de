"""Two bundles on the same labelled pictures: which is better, and which verdicts change. Without torch."""

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
from scipy.special import expit

from clearcast import imaging
from clearcast.bundle.evaluating import require_empty, seen_by, table_of, write_file
from clearcast.bundle.lines import Opinion, Seen
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
from clearcast.runtime.model import Model
from clearcast.runtime.package import Package, open_package
from clearcast.runtime.signing import Trust
from clearcast.runtime.verdicts import rule_of
from clearcast.runtime.verifying import load_model

_SIDES = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """What is asked of ``compare``.

    Attributes:
        first, second: bundles, each a folder or a zip: A and B.
        sheet: labelled pictures with their noise types and noise-free ones.
        groups: see ``read_groups``; None: as a bundle lists them, else the sheet's column, or found.
        out: a new or empty folder for the tables; None: none are written.
        skip_bad: leave out rows that cannot be used.
        threads: how many pictures are worked on at a time; None: as many as there are cores.
        trust: whose signature both must have; None: they need none.
        seed: of the intervals' resamples.
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
    """What was found.

    Attributes:
        table: a line an image, see ``evidence/differences.py``.
        differences: every measure.
        changed: the images whose verdict differs, see there.
        conclusions: plain sentences, that on verdicts first.
        notes: what to know of the comparison: who is A and who is B, what could not be compared, what was left out.
    """

    table: pd.DataFrame
    differences: list[Difference]
    changed: pd.DataFrame
    conclusions: list[str]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class _Contender:
    """One of the two bundles, loaded."""

    package: Package
    model: Model

    def see(self, path: Path, channels: Channels) -> tuple[Seen, Picture]:
        """What it says of a picture, and the restored one in the channels that both are measured in."""
        picture = imaging.load(path, self.model.channels)
        seen = seen_by(self.model, self.package.manifest["threshold"], f"{path}, {self.package.name}", picture)
        if self.model.channels is channels:
            return seen, seen.restored
        return seen, np.asarray(cv2.cvtColor(seen.restored, cv2.COLOR_RGB2GRAY), np.uint8)

    def verdict(self, opinion: Opinion) -> Verdict:
        """What it says on the line."""
        rule = rule_of(self.package.manifest)
        if rule and rule.verdict(float(expit(opinion.logit))) is Verdict.RETAKE:
            return Verdict.RETAKE
        return Verdict.DEFECT if opinion.defect else Verdict.OK


def compare(request: CompareRequest) -> Compared:
    """Let two bundles inspect the same pictures, and compare what they say; see ``CompareRequest``.

    Raises:
        OutputError: a bundle cannot be used, both are the same, or the folder is not empty.
        SheetError: the sheet or the groups cannot be used, or there is no row that neither bundle learned from.
    """
    packages = [open_package(path, request.trust) for path in (request.first, request.second)]
    if packages[0].manifest["seal"] == packages[1].manifest["seal"]:
        raise OutputError(f"{request.first} and {request.second} are the same bundle; needed are two to compare")
    both = [_Contender(package=package, model=load_model(package)) for package in packages]
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


def _line(both: list[_Contender], sheet: Sheet, row: Row, part: str) -> dict[Hashable, Any]:
    channels = _shared(both)
    reference = imaging.load(sheet.resolve(row.reference), channels) if row.reference else None
    line: dict[Hashable, Any] = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
    line |= {"label": str(row.label), "noise_type": str(row.noise_type)}
    for side, each in zip(_SIDES, both, strict=True):
        seen, restored = each.see(sheet.resolve(row.noisy), channels)
        line |= {f"said_noise_type_{side}": seen.noise.noise_type.value}
        measured = fidelity(restored, reference) if reference is not None else None
        line |= {
            f"psnr_{side}": getattr(measured, "psnr", math.nan),
            f"ssim_{side}": getattr(measured, "ssim", math.nan),
        }
        if seen.opinion:
            line |= {f"p_defect_{side}": float(expit(seen.opinion.logit)), f"logit_{side}": seen.opinion.logit}
            line |= {f"said_{side}": each.verdict(seen.opinion).value}
    return line


def _shared(both: list[_Contender]) -> Channels:
    """Restored pictures are measured in the bundles' own channels or, where these differ, in grey."""
    return both[0].model.channels if both[0].model.channels is both[1].model.channels else Channels.GREY


def _notes(both: list[_Contender], fresh: Unlearned, count: int) -> list[str]:
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
            notes.append(f"{name} gives no verdicts ({why}), so that verdicts are not compared.")
    if both[0].model.channels is not both[1].model.channels:
        notes.append("One looks at colour and the other at grey: restored pictures are compared in grey.")
    if any(fresh.learned):
        learned = " and ".join(f"{name} from {number}" for name, number in zip("AB", fresh.learned, strict=True))
        notes.append(
            f"Of the sheet's {count} rows, {learned} learned or chose; compared are only the {len(fresh.rows)} that "
            "neither did."
        )
    return notes


def _write_tables(compared: Compared, out: Path) -> None:
    """``predictions.csv``, ``differences.csv``, ``changed.csv`` and ``conclusion.txt``."""
    write_file(out / "predictions.csv", partial(protect_table(compared.table).to_csv, index=False))
    write_file(out / "differences.csv", partial(_flat(compared.differences).to_csv, index=False))
    write_file(out / "changed.csv", partial(protect_table(compared.changed).to_csv, index=False))
    text = "\n".join([*compared.conclusions, "", *compared.notes]) + "\n"
    write_file(out / "conclusion.txt", lambda path: path.write_text(text, encoding="utf-8"))


def _flat(found: list[Difference]) -> pd.DataFrame:
    """A line a measure: its name, its figure for A, for B and of B minus A, each with its ends, and who is better."""
    lines = []
    for each in found:
        line: dict[str, object] = {"aspect": each.aspect.value, "measure": each.measure, "noise": each.noise}
        line |= {"images": each.images, "parts": each.parts}
        for name, figure in (("a", each.first), ("b", each.second), ("difference", each.difference)):
            line |= {name: figure["value"], f"{name}_low": figure["low"], f"{name}_high": figure["high"]}
        lines.append(line | {"better": each.better or ""})
    return pd.DataFrame(lines).round(6)
