"""Fit the defect classifier with per-group weights, and cross-validate it over groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clearcast.checks import require_finite
from clearcast.data.balance import assign_parts
from clearcast.domain import Label
from clearcast.errors import SheetError
from clearcast.models.backbone import Sees
from clearcast.models.judge import Judge
from clearcast.progress import Progress
from clearcast.training.readings import Floats, Rows, read_places, read_whole
from clearcast.training.seeing import Seen, ViewOf, see
from clearcast.training.temperature import best_temperature

_FOLDS = 5
_BATCH = 32  # images


@dataclass(frozen=True, kw_only=True)
class FittedJudge:
    """A fitted defect head with its calibration.

    ``logits``: cross-validated log-odds of defect of view 0 of each row, from heads that were not fitted on the row's
    group, shape (rows,); None if a label has one group only, which cannot be held out. ``temperature`` makes
    sigmoid(logit / temperature) a probability; a logit above ``threshold`` means defect. Both follow from ``logits``;
    without logits they are 1 and 0.
    """

    head: Judge
    logits: Floats | None
    temperature: float
    threshold: float


def fit_judge(
    labels: Sequence[Label],
    groups: Sequence[str],
    view_of: ViewOf,
    *,
    backbone: Sees,
    folder: Path,
    seed: int,
    views: int = 3,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> FittedJudge:
    """Fit the defect head on all rows, and on all but each fold of groups to estimate its accuracy on new parts.

    Args:
        labels: of each row.
        groups: the group (part) of each row.
        view_of: makes the images; see ``ViewOf``.
        backbone: the feature extractor; it is not changed.
        folder: of the feature cache, about 0.33 MB a view of 512 x 512 pixels. Views that an earlier call finished are
            read from it, so it must be for these images and this backbone alone.
        seed: the same seed and images give the same head on the same machine.
        views: number of views of each row to learn from, at least 1.
        device: of the backbone; by default a GPU if there is one.
        progress: counts the images whose features are extracted, which takes most of the time.

    Raises:
        SheetError: all rows have one label.
    """
    defect = np.array([label is Label.DEFECT for label in labels])
    if defect.all() or not defect.any():
        raise SheetError(
            f"all {len(defect)} rows to learn from are {'defect' if len(defect) and defect.all() else 'ok'}; expected "
            "images of both labels: add some to the sheet, or correct the labels"
        )
    features = _extract_views(backbone, view_of, len(defect), views, folder, device, progress)
    targets = _Targets(defect, np.unique(np.asarray(groups), return_inverse=True)[1])
    logits = _cross_validate(features, targets, seed)
    head = _fit_head(features, targets, np.arange(len(defect)), seed)
    if logits is None:
        return FittedJudge(head=head, logits=None, temperature=1.0, threshold=0.0)
    return FittedJudge(
        head=head,
        logits=logits,
        temperature=best_temperature(logits, defect, targets.weights(np.arange(len(defect)))),
        threshold=best_threshold(logits, defect),
    )


def best_threshold(logits: Floats, defect: NDArray[np.bool_]) -> float:
    """Choose the threshold with the fewest errors; of several the one nearest to 0. Logits above it mean defect.

    Raises:
        ModelOutputError: a logit is not finite.
    """
    require_finite("log-odds of defect", logits)
    edges = np.unique(logits)
    between = np.concatenate([[edges[0] - 1], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1], [0.0]])
    errors = ((logits > between[:, None]) != defect).sum(axis=1)
    best = between[errors == errors.min()]
    return float(best[np.argmin(np.abs(best))])


@dataclass(frozen=True)
class _Targets:
    """Labels and group indices of rows."""

    defect: NDArray[np.bool_]
    groups: Rows

    def weights(self, rows: Rows) -> Floats:
        """Compute weights of some rows, 1 on average: labels weigh the same, a group as the root of its row count.

        Several images of a part carry less information than images of as many parts, and more than one image.
        """
        _, group, counts = np.unique(self.groups[rows], return_inverse=True, return_counts=True)
        weights = counts[group] ** -0.5
        for label in (False, True):
            own = self.defect[rows] == label
            weights[own] /= weights[own].sum()
        return np.asarray(weights * len(rows) / 2, np.float64)


def _extract_views(
    backbone: Sees,
    view_of: ViewOf,
    rows: int,
    views: int,
    folder: Path,
    device: torch.device | None,
    progress: Progress | None,
) -> list[Seen]:
    """Extract and cache the features of all views of all rows."""
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone.to(device)
    features = []
    for view in range(views):

        def report(done: int, _: int, before: int = view * rows) -> None:
            if progress:
                progress(before + done, views * rows)

        features.append(see(backbone, view_of, view=view, rows=rows, folder=folder, device=device, progress=report))
    return features


def _cross_validate(features: list[Seen], targets: _Targets, seed: int) -> Floats | None:
    """Compute the logits of view 0 of each row by a head that was not fitted on its group; None if impossible."""
    fewest = min(len(np.unique(targets.groups[targets.defect == label])) for label in (False, True))
    folds = min(_FOLDS, fewest)
    if folds < 2:
        return None
    shares = (1 / folds,) * folds
    fold = assign_parts(
        [str(group) for group in targets.groups], [(bool(each),) for each in targets.defect], shares=shares, seed=seed
    )
    logits = np.zeros(len(fold))
    for each in range(folds):
        train, test = np.flatnonzero(fold != each), np.flatnonzero(fold == each)
        if len(np.unique(targets.defect[train])) < 2:  # if a group has both labels
            return None
        head = _fit_head(features, targets, train, seed)
        logits[test] = _predict(head, features[0], test)
    return logits


@torch.inference_mode()
def _predict(head: Judge, features: Seen, rows: Rows) -> Floats:
    batches = [head(features.features(rows[first : first + _BATCH])).logit for first in range(0, len(rows), _BATCH)]
    return np.asarray(torch.cat(batches).double().numpy(), np.float64)


def _fit_head(features: list[Seen], targets: _Targets, rows: Rows, seed: int) -> Judge:
    weights = targets.weights(rows)
    shares = weights / weights.sum()
    head = Judge()
    read_whole(head, features, rows, targets.defect[rows], shares)
    read_places(head, features, rows, targets.defect[rows], shares, seed)
    return head.eval()
