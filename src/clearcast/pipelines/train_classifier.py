"""Training phase that fits a bundle's defect classifier to features of the training rows."""

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
from clearcast.nn.denoiser import ClearDenoiser
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

    Attributes:
        classifier: None if none could be fitted; ``no_classifier_reason`` gives the reason.
        crossfitted: predictions for the training rows by classifiers that were fitted to other groups, in the columns
            of ``validation.csv``; may be empty.
    """

    classifier: CalibratedClassifier | None
    crossfitted: pd.DataFrame
    no_classifier_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClassifierFit:
    """A fitted classifier head, its metadata for the manifest, and its predictions (see ``ClearClassifier``)."""

    head: DefectHead
    metadata: ClassifierMetadata
    crossfitted: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class ClassifierRows:
    """The training rows that a classifier is fitted to, with their groups."""

    rows: Sequence[SheetRow]
    groups: Sequence[str]

    @property
    def labels(self) -> list[Label]:
        """The label of each row."""
        return [row.label for row in self.rows if row.label]


def choose_classifier_rows(data: TrainingData, limit: int | None, seed: int) -> ClassifierRows:
    """Choose the training rows for a classifier: all, or at most ``limit`` from as many groups as possible."""
    rows, groups = data.rows_of(Subset.TRAIN), data.groups_of(Subset.TRAIN)
    places = range(len(rows)) if limit is None else sample_across_groups(groups, limit, seed)
    return ClassifierRows(rows=[rows[place] for place in places], groups=[groups[place] for place in places])


def train_clear_classifier(
    request: TrainRequest,
    data: TrainingData,
    denoiser: ClearDenoiser,
    backbone: Backbone,
    work: Path,
    *,
    shape: tuple[int, int],
    plan: TrainingPlan,
) -> ClearClassifier:
    """Fit the classifier of recipe ``clear`` to denoised and noise-free images of the training rows.

    Args:
        request: has the seed and the device.
        data: has the rows.
        denoiser: fitted; denoises the images.
        backbone: computes the features.
        work: folder of the feature cache, so that an interrupted fit can be resumed.
        shape: (height, width) in pixels at which images are classified.
        plan: the number of rows and views.
    """
    chosen = choose_classifier_rows(data, plan.rows, request.seed)
    if len(set(chosen.labels)) < 2:
        reason = (
            f"all {len(chosen.rows)} training rows are {chosen.labels[0]}; a classifier needs images of both labels"
        )
        return ClearClassifier(classifier=None, crossfitted=pd.DataFrame(), no_classifier_reason=reason)
    folder = work / hash_weights(denoiser)  # features of images that another denoiser denoised cannot be used
    views = DenoisedViews(
        data.pairs(chosen.rows), data.channels, shape, denoiser.to(request.torch_device), seed=request.seed
    )
    fit = train_classifier_head(request, chosen, views, backbone, folder, shape=shape, views=plan.views)
    denoiser.cpu()
    network = freeze(DefectClassifier(backbone.cpu(), fit.head, shape))
    return ClearClassifier(
        classifier=CalibratedClassifier(network=network, metadata=fit.metadata), crossfitted=fit.crossfitted
    )


def train_classifier_head(
    request: TrainRequest,
    chosen: ClassifierRows,
    make_view: MakeView,
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
        make_view: makes the views.
        backbone: computes their features; it is not changed.
        folder: of the feature cache, for these views and this backbone.
        shape: (height, width) in pixels at which images are classified.
        views: of each row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with show_progress(request.console, "Computing features for the classifier") as progress:
        fitted = fit_defect_head(
            chosen.labels,
            chosen.groups,
            make_view,
            backbone=backbone,
            folder=folder,
            seed=request.seed,
            views=views,
            device=request.torch_device,
            progress=progress,
        )
    metadata: ClassifierMetadata = {
        "shape": list(shape),
        "temperature": fitted.temperature,
        "threshold": fitted.threshold,
        "crossfitted": fitted.logits is not None,
    }
    return ClassifierFit(head=fitted.head, metadata=metadata, crossfitted=_crossfitted_table(chosen, fitted))


def sample_across_groups(groups: Sequence[str], count: int, seed: int) -> list[int]:
    """Sample at most ``count`` rows across groups: one of each group, then a second one of each, and so on.

    Returns:
        Their indices, ascending.

    >>> groups = ["a", "a", "a", "a", "b", "b", "c"]
    >>> [groups[place] for place in sample_across_groups(groups, 5, seed=0)]
    ['a', 'a', 'b', 'b', 'c']
    """
    order = np.random.default_rng(seed).permutation(len(groups))
    rounds = Counter[str]()
    queued: list[tuple[int, int, int]] = []  # (the row's number in its group, random order, place)
    for place in order.tolist():
        queued.append((rounds[groups[place]], len(queued), place))
        rounds[groups[place]] += 1
    return sorted(place for _, _, place in sorted(queued)[:count])


def _crossfitted_table(chosen: ClassifierRows, fitted: FittedClassifier) -> pd.DataFrame:
    """Make the table of cross-fitted predictions, in the columns of ``validation.csv``; empty if there are none."""
    if fitted.logits is None:
        return pd.DataFrame()
    logits = fitted.logits / fitted.temperature
    return pd.DataFrame(
        {
            "row": [row.number for row in chosen.rows],
            "part": chosen.groups,
            "label": [str(row.label) for row in chosen.rows],
            "noise_type": [str(row.noise_type) for row in chosen.rows],
            "p_defect_denoised": sigmoid(logits),
            "logit_denoised": logits,
            "said_denoised": np.where(fitted.logits > fitted.threshold, Label.DEFECT.value, Label.OK.value),
        }
    )
