"""What a bundle's networks are worth on rows that they did not learn from, with intervals."""

from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from clearcast import imaging
from clearcast.bundle.ground import Ground
from clearcast.bundle.lines import Opinion, Seen, line_of, verdict_columns
from clearcast.bundle.networks import Distilled, GlancedAt, Networks, glance, judge, restored_by
from clearcast.domain import NoiseType, Subset
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.evidence.gather import gather_evidence
from clearcast.evaluation.evidence.wishes import Wishes
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.folder import PREDICTIONS, write_json, write_table
from clearcast.imaging import Channels, Picture
from clearcast.models.clear.restoring import restore
from clearcast.models.clear.telling import tell
from clearcast.noise import DEFAULT_RANGES, after_jpeg, corrupt, sample_level
from clearcast.progress import progress_bar

_KINDS = tuple(DEFAULT_RANGES)
_QUALITY = 80  # of JPEG, as "clearcast corrupt" writes noisy pictures


def measure(
    networks: Networks | Distilled, ground: Ground, crossfitted: pd.DataFrame, *, seed: int, console: Console
) -> Evidence:
    """Write ``predictions.csv``, ``validation.csv`` and ``evidence.json`` to the bundle, and return the evidence.

    Where no test row is noisy, they are measured with noise made anew, each with one noise type, in turns.

    Args:
        networks: fitted.
        ground: its test rows are measured.
        crossfitted: what is known of the judge on training rows, from which thresholds may be chosen; may be empty.
        seed: of the intervals' resamples, and of noise made anew.
        console: shows progress.
    """
    rows = _test_rows(ground, seed)
    lines = []
    with progress_bar(console, "Measuring test pictures") as progress:
        for row in rows:
            lines.append(row | _said(networks, *pictures_of(row, ground.rows.sheet.root, networks.channels)))
            progress(len(lines), len(rows))
    table, path = pd.DataFrame(lines).round(6), ground.folder.path
    write_table(path / PREDICTIONS[Subset.TEST], table)
    if not crossfitted.empty:
        write_table(path / PREDICTIONS[Subset.VALIDATION], crossfitted.round(6))
    chosen_by = None if crossfitted.empty else crossfitted
    evidence = gather_evidence(table, chosen_by, None, Wishes(), seed=seed)
    write_json(path / "evidence.json", evidence)
    return evidence


def pictures_of(row: Mapping[Hashable, Any], root: Path, channels: Channels) -> tuple[Picture, Picture | None]:
    """The noisy picture that a row of ``predictions.csv`` tells of, and the noise-free one, if it is known.

    Where it has a ``noise_seed``, the noisy one is made from the noise-free one, of a usual level; the same each time.

    Args:
        row: of the table.
        root: the folder that its paths are relative to.
        channels: colour or grey.
    """
    reference = imaging.load(root / str(row["reference"]), channels) if row["reference"] else None
    if "noise_seed" not in row or reference is None:
        return imaging.load(root / str(row["noisy"]), channels), reference
    rng = np.random.default_rng((int(row["noise_seed"]), int(row["row"])))
    level = sample_level(DEFAULT_RANGES[NoiseType(str(row["noise_type"]))], rng, reference.shape)
    return after_jpeg(corrupt(reference, level, rng), _QUALITY), reference


def _test_rows(ground: Ground, seed: int) -> list[dict[Hashable, Any]]:
    """What is known of each test row."""
    listed: list[dict[Hashable, Any]] = []
    for place, (row, part) in enumerate(zip(ground.rows_of(Subset.TEST), ground.groups_of(Subset.TEST), strict=True)):
        kind = _KINDS[place % len(_KINDS)] if ground.adds_test_noise else row.noise_type
        known: dict[Hashable, Any] = {"row": row.number, "noisy": row.noisy, "reference": row.reference, "part": part}
        known |= {"label": str(row.label), "noise_type": str(kind)}
        if ground.adds_test_noise:
            known["noise_seed"] = seed
        listed.append(known)
    return listed


def _said(networks: Networks | Distilled, noisy: Picture, reference: Picture | None) -> dict[Hashable, Any]:
    """What is said of a noisy picture; and for comparison, of its noise-free one and, if restored, as it came."""
    if isinstance(networks, Distilled):
        glanced = glance(networks, noisy)
        restored = restored_by(networks, noisy, glanced.glimpse)
        return line_of(noisy, _glanced(glanced, restored), reference, lambda it: _glanced(glance(networks, it), it))
    line = line_of(noisy, _seen(networks, noisy), reference, partial(_seen, networks))
    return line | verdict_columns(Stage.NOISY, _opinion(networks, noisy))


def _glanced(glanced: GlancedAt, restored: Picture) -> Seen:
    """``restored``: the picture without noise, which is the picture itself where it has none."""
    opinion = Opinion(logit=glanced.judged.logit, defect=glanced.judged.defect)
    return Seen(restored=restored, noise=glanced.noise, opinion=opinion)


def _seen(networks: Networks, picture: Picture) -> Seen:
    restored, seen = restore(networks.restorer, picture)
    return Seen(
        restored=restored,
        noise=tell(seen, picture.shape[0], picture.shape[1], networks.restorer.noise_types),
        opinion=_opinion(networks, restored),
    )


def _opinion(networks: Networks, picture: Picture) -> Opinion | None:
    if networks.verdicts is None:
        return None
    judged = judge(networks.verdicts, picture)
    return Opinion(logit=judged.logit, defect=judged.defect)
