"""What a bundle's networks are worth on rows that they did not learn from, with intervals."""

from typing import Any

import pandas as pd
from rich.console import Console
from scipy.special import expit

from clearcast import imaging
from clearcast.bundle.ground import Ground
from clearcast.bundle.networks import Networks, judge
from clearcast.data.sheet import Row
from clearcast.domain import Label, Subset
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.evidence.gather import gather_evidence
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.fidelity import fidelity
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.folder import PREDICTIONS, write_json, write_table
from clearcast.imaging import Picture
from clearcast.models.clear.restoring import restore
from clearcast.models.clear.telling import tell
from clearcast.progress import progress_bar


def measure(networks: Networks, ground: Ground, crossfitted: pd.DataFrame, *, seed: int, console: Console) -> Evidence:
    """Write ``predictions.csv``, ``validation.csv`` and ``evidence.json`` to the bundle, and return the evidence.

    Args:
        networks: fitted.
        ground: its test rows are measured.
        crossfitted: what is known of the judge on training rows, from which thresholds may be chosen; may be empty.
        seed: of the intervals' resamples.
        console: shows progress.
    """
    rows, parts = ground.chosen(Subset.TEST), ground.parts(Subset.TEST)
    lines = []
    with progress_bar(console, "Measuring test pictures") as progress:
        for row, part in zip(rows, parts, strict=True):
            known = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
            truth = {"label": str(row.label), "noise_type": str(row.noise_type)}
            lines.append(known | truth | _said(networks, ground, row))
            progress(len(lines), len(rows))
    table, path = pd.DataFrame(lines).round(6), ground.folder.path
    write_table(path / PREDICTIONS[Subset.TEST], table)
    if not crossfitted.empty:
        write_table(path / PREDICTIONS[Subset.VALIDATION], crossfitted.round(6))
    chosen_by = None if crossfitted.empty else crossfitted
    evidence = gather_evidence(table, chosen_by, None, Wishes(), seed=seed)
    write_json(path / "evidence.json", evidence)
    return evidence


def _said(networks: Networks, ground: Ground, row: Row) -> dict[str, Any]:
    """What is said of a row's noisy picture, restored; and for comparison, of its noise-free one and as it came."""
    resolve, channels = ground.rows.sheet.resolve, networks.channels
    noisy, reference = (imaging.load(resolve(path), channels) for path in (row.noisy, row.reference))
    restored, seen = restore(networks.restorer, noisy)
    clean, clean_seen = restore(networks.restorer, reference)
    said: dict[str, Any] = {}
    for which, picture in (("noisy", noisy), ("denoised", restored)):
        measured = fidelity(picture, reference)
        said |= {f"{name}_{which}": getattr(measured, name) for name in ("psnr", "ssim", "mse")}
    told, unspoilt = tell(seen, *noisy.shape[:2]), tell(clean_seen, *reference.shape[:2])
    said |= {f"p_{kind}": chance for kind, chance in told.probabilities.items()}
    said |= {"said_noise_type": told.noise_type.value, "said_noise_type_reference": unspoilt.noise_type.value}
    said |= {"noise_level": told.level, "sigma": told.sigma, "density": told.density}
    for stage, picture in ((Stage.REFERENCE, clean), (Stage.NOISY, noisy), (Stage.DENOISED, restored)):
        said |= _verdict(networks, stage, picture)
    return said


def _verdict(networks: Networks, stage: Stage, picture: Picture) -> dict[str, Any]:
    if networks.verdicts is None:
        return {}
    judged = judge(networks.verdicts, picture)
    return {
        f"p_defect_{stage}": float(expit(judged.logit)),
        f"logit_{stage}": judged.logit,
        f"said_{stage}": (Label.DEFECT if judged.defect else Label.OK).value,
    }
