"""The phase of training in which verdicts are learned, from restored pictures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from clearcast.bundle.ground import Ground
from clearcast.bundle.networks import Verdicts, still
from clearcast.data.sheet import Row
from clearcast.domain import Label, Subset
from clearcast.log_odds import sigmoid
from clearcast.models.backbone import Backbone
from clearcast.models.clear.restorer import Restorer
from clearcast.models.judge import PictureJudge
from clearcast.progress import Progress
from clearcast.training.clear.verdicts import RestoredViews
from clearcast.training.judging import FittedJudge, fit_judge
from clearcast.training.weights import fingerprint


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What became of verdicts.

    ``verdicts`` is None where they could not be learned, and then ``lack`` says why. ``crossfitted``: what judges said
    of the training rows whose parts they had not learned from, in the columns of ``validation.csv``; maybe empty.
    """

    verdicts: Verdicts | None
    crossfitted: pd.DataFrame
    lack: str | None = None


def learn_verdicts(
    ground: Ground,
    restorer: Restorer,
    backbone: Backbone,
    work: Path,
    *,
    shape: tuple[int, int],
    views: int,
    most: int | None = None,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> Learned:
    """Fit the judge on the training rows; ``work`` keeps what the backbone saw, so that a stopped fit goes on.

    It is kept by the restorer's weights: what another restorer made is not learned from. ``most``: from so many rows at
    most, of as many parts as can be.
    """
    rows, parts = ground.chosen(Subset.TRAIN), ground.parts(Subset.TRAIN)
    if most is not None:
        places = spread(parts, most, seed)
        rows, parts = [rows[place] for place in places], [parts[place] for place in places]
    labels = [row.label for row in rows if row.label]
    if len(set(labels)) < 2:
        lack = f"all {len(rows)} training rows are {labels[0]}; verdicts are learned from pictures of both labels"
        return Learned(verdicts=None, crossfitted=pd.DataFrame(), lack=lack)
    seen = work / fingerprint(restorer)
    seen.mkdir(parents=True, exist_ok=True)
    fitted = fit_judge(
        labels,
        parts,
        RestoredViews(ground.pairs(rows), ground.channels, shape, restorer.to(device), seed=seed),
        backbone=backbone,
        folder=seen,
        seed=seed,
        views=views,
        device=device,
        progress=progress,
    )
    restorer.cpu()
    verdicts = Verdicts(
        network=still(PictureJudge(backbone.cpu(), fitted.judge, shape)),
        facts={
            "shape": list(shape),
            "temperature": fitted.temperature,
            "threshold": fitted.threshold,
            "crossfitted": fitted.logits is not None,
        },
    )
    return Learned(verdicts=verdicts, crossfitted=crossfitted(rows, parts, fitted))


def spread(parts: Sequence[str], count: int, seed: int) -> list[int]:
    """The places of at most ``count`` rows, ascending: one of each part, then a second one of each, and so on.

    >>> parts = ["a", "a", "a", "a", "b", "b", "c"]
    >>> [parts[place] for place in spread(parts, 5, seed=0)]
    ['a', 'a', 'b', 'b', 'c']
    """
    order = np.random.default_rng(seed).permutation(len(parts))
    turns = Counter[str]()
    taken: list[tuple[int, int, int]] = []
    for place in order.tolist():
        taken.append((turns[parts[place]], len(taken), place))
        turns[parts[place]] += 1
    return sorted(place for _, _, place in sorted(taken)[:count])


def crossfitted(rows: Sequence[Row], parts: Sequence[str], fitted: FittedJudge) -> pd.DataFrame:
    """What judges said of rows whose parts they had not learned from, in the columns of ``validation.csv``."""
    if fitted.logits is None:
        return pd.DataFrame()
    logits = fitted.logits / fitted.temperature
    return pd.DataFrame(
        {
            "row": [row.number for row in rows],
            "part": parts,
            "label": [str(row.label) for row in rows],
            "noise_type": [str(row.noise_type) for row in rows],
            "p_defect_denoised": sigmoid(logits),
            "logit_denoised": logits,
            "said_denoised": np.where(fitted.logits > fitted.threshold, Label.DEFECT.value, Label.OK.value),
        }
    )
