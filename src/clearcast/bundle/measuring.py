"""What a bundle's networks are worth on rows that they did not learn from, with intervals."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from rich.console import Console

from clearcast import imaging
from clearcast.bundle.networks import Networks
from clearcast.data.sheet import Row
from clearcast.domain import NoiseType, Subset
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.evidence.gather import gather_evidence
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.fidelity import fidelity
from clearcast.evaluation.study.dividing import Division
from clearcast.evaluation.study.folder import PREDICTIONS, RunFolder, write_json, write_table
from clearcast.evaluation.study.material import Rows
from clearcast.models.clear.restoring import restore
from clearcast.progress import progress_bar


def measure(
    networks: Networks, rows: Rows, division: Division, folder: RunFolder, *, seed: int, console: Console
) -> Evidence:
    """Write ``predictions.csv``, ``validation.csv`` and ``evidence.json``, and return the evidence."""
    tables = {}
    for subset in (Subset.TEST, Subset.VALIDATION):
        indices = division.split.rows(subset)
        with progress_bar(console, f"Measuring {subset} pictures") as progress:
            lines = []
            for line in _lines(networks, rows, division, indices):
                lines.append(line)
                progress(len(lines), len(indices))
        tables[subset] = pd.DataFrame(lines).round(6)
        write_table(folder.path / PREDICTIONS[subset], tables[subset])
    evidence = gather_evidence(tables[Subset.TEST], tables[Subset.VALIDATION], None, Wishes(), seed=seed)
    write_json(folder.path / "evidence.json", evidence)
    return evidence


def _lines(networks: Networks, rows: Rows, division: Division, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
    for index in indices:
        row = rows.sheet.rows[index]
        known = {"row": row.number, "noisy": row.noisy, "reference": row.reference}
        truth = {"part": division.parts.of_rows[index], "label": str(row.label), "noise_type": str(row.noise_type)}
        yield known | truth | _said(networks, rows, row)


def _said(networks: Networks, rows: Rows, row: Row) -> dict[str, Any]:
    noisy, reference = (
        imaging.load(rows.sheet.resolve(path), networks.channels) for path in (row.noisy, row.reference)
    )
    restored, seen = restore(networks.restorer, noisy)
    before, after = fidelity(noisy, reference), fidelity(restored, reference)
    said: dict[str, Any] = {}
    for name in ("psnr", "ssim", "mse"):
        said |= {f"{name}_noisy": getattr(before, name), f"{name}_denoised": getattr(after, name)}
    chances = seen.scores[0].softmax(dim=0).tolist()
    types = list(NoiseType)
    said |= {f"p_{kind}": chance for kind, chance in zip(types, chances, strict=True)}
    said["said_noise_type"] = str(types[chances.index(max(chances))])
    return said
