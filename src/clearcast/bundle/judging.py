"""The phase of training in which verdicts are learned, from restored pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import expit

from clearcast.bundle.ground import Ground
from clearcast.bundle.networks import Verdicts, still
from clearcast.domain import Label, Subset
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
    seed: int,
    device: torch.device,
    progress: Progress,
) -> Learned:
    """Fit the judge on the training rows; ``work`` keeps what the backbone saw, so that a stopped fit goes on.

    It is kept by the restorer's weights: what another restorer made is not learned from.
    """
    rows = ground.chosen(Subset.TRAIN)
    labels = [row.label for row in rows if row.label]
    if len(set(labels)) < 2:
        lack = f"all {len(rows)} training rows are {labels[0]}; verdicts are learned from pictures of both labels"
        return Learned(verdicts=None, crossfitted=pd.DataFrame(), lack=lack)
    seen = work / fingerprint(restorer)
    seen.mkdir(parents=True, exist_ok=True)
    fitted = fit_judge(
        labels,
        ground.parts(Subset.TRAIN),
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
    return Learned(verdicts=verdicts, crossfitted=_crossfitted(ground, fitted))


def _crossfitted(ground: Ground, fitted: FittedJudge) -> pd.DataFrame:
    if fitted.logits is None:
        return pd.DataFrame()
    rows = ground.chosen(Subset.TRAIN)
    logits = fitted.logits / fitted.temperature
    return pd.DataFrame(
        {
            "row": [row.number for row in rows],
            "part": ground.parts(Subset.TRAIN),
            "label": [str(row.label) for row in rows],
            "noise_type": [str(row.noise_type) for row in rows],
            "p_defect_denoised": expit(logits),
            "logit_denoised": logits,
            "said_denoised": np.where(fitted.logits > fitted.threshold, Label.DEFECT.value, Label.OK.value),
        }
    )
