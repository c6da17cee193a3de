"""The training phase that fits a bundle's defect classifier to features of the training rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clearcast.bundle.manifest import ClassifierMetadata
from clearcast.core.console import show_progress
from clearcast.core.numbers import sigmoid
from clearcast.data.sheet import SheetRow
from clearcast.nn.backbone import Backbone, FeatureExtractor
from clearcast.nn.defect_classifier import DefectClassifier, DefectHead
from clearcast.nn.restorer import ClearDenoiser
from clearcast.nn.weights import hash_weights
from clearcast.pipelines.networks import CalibratedClassifier, freeze
from clearcast.pipelines.training_data import TrainingData, TrainRequest
from clearcast.train.feature_cache import MakeView
from clearcast.train.linear_probes import FittedClassifier, fit_defect_head
from clearcast.train.paired_images import DenoisedViews
from clearcast.train.training_budget import TrainingPlan
from clearcast.types import Label, Subset


@dataclass(frozen=True, kw_only=True)
class ClearClassifier:
    """The classifier of recipe ``clear``.

    ``verdicts`` is None if no classifier could be fitted; ``lack`` gives the reason. ``crossfitted``: predictions for
    the training rows by classifiers fitted to other groups, in the columns of ``validation.csv``; may be empty.
    """

    verdicts: CalibratedClassifier | None
    crossfitted: pd.DataFrame
    lack: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClassifierFit:
    """A fitted classifier head, its facts for the manifest, and its cross-fitted predictions (see ``Learned``)."""

    head: DefectHead
    facts: ClassifierMetadata
    crossfitted: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class ClassifierRows:
    """The training rows that a classifier is fitted to, with their groups."""

    rows: Sequence[SheetRow]
    parts: Sequence[str]

    @property
    def labels(self) -> list[Label]:
        """Of the rows."""
        return [row.label for row in self.rows if row.label]


def choose_classifier_rows(ground: TrainingData, most: int | None, seed: int) -> ClassifierRows:
    """The training rows for a classifier: all, or at most ``most`` from as many groups as possible."""
    rows, parts = ground.rows_of(Subset.TRAIN), ground.groups_of(Subset.TRAIN)
    places = range(len(rows)) if most is None else sample_across_groups(parts, most, seed)
    return ClassifierRows(rows=[rows[place] for place in places], parts=[parts[place] for place in places])


def train_clear_classifier(
    request: TrainRequest,
    ground: TrainingData,
    restorer: ClearDenoiser,
    backbone: Backbone,
    work: Path,
    *,
    shape: tuple[int, int],
    plan: TrainingPlan,
) -> ClearClassifier:
    """Fit the classifier of recipe ``clear`` to denoised and noise-free images of the training rows.

    Args:
        request: has the seed and the device.
        ground: has the rows.
        restorer: fitted; denoises the images.
        backbone: computes the features.
        work: keeps the features, so that a stopped fit can be resumed.
        shape: (height, width) in pixels at which images are classified.
        plan: says from how many rows and views.
    """
    chosen = choose_classifier_rows(ground, plan.rows, request.seed)
    if len(set(chosen.labels)) < 2:
        lack = f"all {len(chosen.rows)} training rows are {chosen.labels[0]}; a classifier needs images of both labels"
        return ClearClassifier(verdicts=None, crossfitted=pd.DataFrame(), lack=lack)
    folder = work / hash_weights(restorer)  # features of images that another restorer denoised are of no use
    views = DenoisedViews(
        ground.pairs(chosen.rows), ground.channels, shape, restorer.to(request.torch_device), seed=request.seed
    )
    fit = train_classifier_head(request, chosen, views, backbone, folder, shape=shape, views=plan.views)
    restorer.cpu()
    network = freeze(DefectClassifier(backbone.cpu(), fit.head, shape))
    return ClearClassifier(verdicts=CalibratedClassifier(network=network, facts=fit.facts), crossfitted=fit.crossfitted)


def train_classifier_head(
    request: TrainRequest,
    chosen: ClassifierRows,
    view_of: MakeView,
    backbone: FeatureExtractor,
    folder: Path,
    *,
    shape: tuple[int, int],
    views: int,
) -> ClassifierFit:
    """Fit a classifier head to features of views of rows, and cross-fit it over groups.

    Args:
        request: has the seed, the device and the console that shows the progress.
        chosen: the rows.
        view_of: makes the views.
        backbone: computes their features; it is not changed.
        folder: keeps the features of these views and this backbone.
        shape: (height, width) in pixels at which images are classified.
        views: of each row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with show_progress(request.console, "Computing features for the classifier") as progress:
        fitted = fit_defect_head(
            chosen.labels,
            chosen.parts,
            view_of,
            backbone=backbone,
            folder=folder,
            seed=request.seed,
            views=views,
            device=request.torch_device,
            progress=progress,
        )
    facts: ClassifierMetadata = {
        "shape": list(shape),
        "temperature": fitted.temperature,
        "threshold": fitted.threshold,
        "crossfitted": fitted.logits is not None,
    }
    return ClassifierFit(head=fitted.head, facts=facts, crossfitted=_crossfitted(chosen, fitted))


def sample_across_groups(parts: Sequence[str], count: int, seed: int) -> list[int]:
    """Sample at most ``count`` rows across groups: one of each group, then a second one of each, and so on.

    Returns:
        their places, ascending.

    >>> parts = ["a", "a", "a", "a", "b", "b", "c"]
    >>> [parts[place] for place in sample_across_groups(parts, 5, seed=0)]
    ['a', 'a', 'b', 'b', 'c']
    """
    order = np.random.default_rng(seed).permutation(len(parts))
    turns = Counter[str]()
    taken: list[tuple[int, int, int]] = []
    for place in order.tolist():
        taken.append((turns[parts[place]], len(taken), place))
        turns[parts[place]] += 1
    return sorted(place for _, _, place in sorted(taken)[:count])


def _crossfitted(chosen: ClassifierRows, fitted: FittedClassifier) -> pd.DataFrame:
    """Cross-fitted predictions of the rows, in the columns of ``validation.csv``; empty if there are none."""
    if fitted.logits is None:
        return pd.DataFrame()
    logits = fitted.logits / fitted.temperature
    return pd.DataFrame(
        {
            "row": [row.number for row in chosen.rows],
            "part": chosen.parts,
            "label": [str(row.label) for row in chosen.rows],
            "noise_type": [str(row.noise_type) for row in chosen.rows],
            "p_defect_denoised": sigmoid(logits),
            "logit_denoised": logits,
            "said_denoised": np.where(fitted.logits > fitted.threshold, Label.DEFECT.value, Label.OK.value),
        }
    )
