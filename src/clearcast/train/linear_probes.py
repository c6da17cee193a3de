"""Linear probes: fit the defect head on cached features, and calibrate it by cross-validation over groups.

The global probe is a logistic regression on the extremes of each channel. The local probe is fitted by gradient steps
through log-mean-exp pooling. Threshold and temperature follow from cross-validated log-odds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clearcast.core.console import ProgressCallback
from clearcast.core.errors import SheetError
from clearcast.core.numbers import require_finite
from clearcast.data.splits import assign_groups
from clearcast.metrics.calibration import fit_logit_temperature
from clearcast.nn.backbone import BackboneFeatures, FeatureExtractor
from clearcast.nn.defect_classifier import POOLING_SHARPNESS, DefectHead, log_mean_exp_pool, upsample_nearest
from clearcast.train.feature_cache import CachedFeatures, MakeView, cache_features
from clearcast.types import Label

_Float64Array = NDArray[np.float64]
_RowIndices = NDArray[np.int64]

_DECAY = 0.03  # of the global head: times the sum of squared weights of the standardised extremes
_LBFGS_STEPS = 80
_STEPS, _FEATURE_BATCH, _RATE = 300, 32, 3e-3  # of the local head
_LOCAL_DECAY, _DROPOUT, _WARMUP_SHARE = 0.3, 0.3, 0.15
_SCALE_ROWS = 128  # rows that the scales of the channels are estimated from
_MIN_SCALE = 1e-3  # added to standard deviations that may be 0
_FOLDS = 5
_BATCH = 32  # images, for predictions


@dataclass(frozen=True, kw_only=True)
class FittedClassifier:
    """A fitted defect head with its calibration.

    ``logits``: cross-validated log-odds of defect of view 0 of each row, from heads that were not fitted on the row's
    group, shape (rows,); None if a label has one group only, which cannot be held out. ``temperature`` makes
    sigmoid(logit / temperature) a probability; a logit above ``threshold`` means defect. Both follow from ``logits``;
    without logits they are 1 and 0.
    """

    head: DefectHead
    logits: _Float64Array | None
    temperature: float
    threshold: float


def fit_defect_head(
    labels: Sequence[Label],
    groups: Sequence[str],
    make_view: MakeView,
    *,
    backbone: FeatureExtractor,
    folder: Path,
    seed: int,
    views: int = 3,
    device: torch.device | None = None,
    progress: ProgressCallback | None = None,
) -> FittedClassifier:
    """Fit the defect head on all rows, and on all but each fold of groups to estimate its accuracy on new parts.

    Args:
        labels: of each row.
        groups: the group (part) of each row.
        make_view: makes the images; see ``MakeView``.
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
    features = _extract_views(backbone, make_view, len(defect), views, folder, device, progress)
    targets = _Targets(defect, np.unique(np.asarray(groups), return_inverse=True)[1])
    logits = _cross_validate(features, targets, seed)
    head = _fit_head(features, targets, np.arange(len(defect)), seed)
    if logits is None:
        return FittedClassifier(head=head, logits=None, temperature=1.0, threshold=0.0)
    return FittedClassifier(
        head=head,
        logits=logits,
        temperature=fit_logit_temperature(logits, defect, targets.weights(np.arange(len(defect)))),
        threshold=most_accurate_threshold(logits, defect),
    )


def most_accurate_threshold(logits: _Float64Array, defect: NDArray[np.bool_]) -> float:
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
    groups: _RowIndices

    def weights(self, rows: _RowIndices) -> _Float64Array:
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
    backbone: FeatureExtractor,
    make_view: MakeView,
    rows: int,
    views: int,
    folder: Path,
    device: torch.device | None,
    progress: ProgressCallback | None,
) -> list[CachedFeatures]:
    """Extract and cache the features of all views of all rows."""
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone.to(device)
    features = []
    for view in range(views):

        def report(done: int, _: int, before: int = view * rows) -> None:
            if progress:
                progress(before + done, views * rows)

        features.append(
            cache_features(backbone, make_view, view=view, rows=rows, folder=folder, device=device, progress=report)
        )
    return features


def _cross_validate(features: list[CachedFeatures], targets: _Targets, seed: int) -> _Float64Array | None:
    """Compute the logits of view 0 of each row by a head that was not fitted on its group; None if impossible."""
    fewest = min(len(np.unique(targets.groups[targets.defect == label])) for label in (False, True))
    folds = min(_FOLDS, fewest)
    if folds < 2:
        return None
    shares = (1 / folds,) * folds
    fold = assign_groups(
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
def _predict(head: DefectHead, features: CachedFeatures, rows: _RowIndices) -> _Float64Array:
    batches = [head(features.features(rows[first : first + _BATCH])).logit for first in range(0, len(rows), _BATCH)]
    return np.asarray(torch.cat(batches).double().numpy(), np.float64)


def _fit_head(features: list[CachedFeatures], targets: _Targets, rows: _RowIndices, seed: int) -> DefectHead:
    weights = targets.weights(rows)
    shares = weights / weights.sum()
    head = DefectHead()
    _fit_global_probe(head, features, rows, targets.defect[rows], shares)
    _fit_local_probe(head, features, rows, targets.defect[rows], shares, seed)
    return head.eval()


def _fit_global_probe(
    head: DefectHead,
    features: Sequence[CachedFeatures],
    rows: _RowIndices,
    defect: NDArray[np.bool_],
    shares: _Float64Array,
) -> None:
    """Fit the global head: logistic regression on standardised extremes of all views, a convex problem.

    Args:
        head: its global head is fitted in place.
        features: of each view of all rows.
        rows: indices of the rows to learn from.
        defect: bool (rows,), their labels.
        shares: float (rows,), their weights, which sum to 1.
    """
    values = torch.from_numpy(np.concatenate([view.extremes[rows] for view in features])).double()
    mean, scale = values.mean(dim=0), values.std(dim=0, correction=0) + _MIN_SCALE
    values = (values - mean) / scale  # (views * rows, EXTREMES)
    signs = torch.from_numpy(np.where(defect, 1.0, -1.0)).repeat(len(features))
    weights = torch.from_numpy(shares).repeat(len(features)) / len(features)
    slope = torch.zeros(values.shape[1], dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, offset], max_iter=_LBFGS_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weights @ functional.softplus(-signs * (values @ slope + offset)) + _DECAY * slope.square().sum()
        torch.autograd.backward(loss)
        return loss

    step: Callable[[Callable[[], Tensor]], object] = optimizer.step  # which PyTorch leaves untyped
    step(closure)
    with torch.no_grad():
        head.global_head.weight.copy_((slope / scale)[None])
        head.global_head.bias.copy_(offset - (slope / scale) @ mean)


def _fit_local_probe(
    head: DefectHead,
    features: Sequence[CachedFeatures],
    rows: _RowIndices,
    defect: NDArray[np.bool_],
    shares: _Float64Array,
    seed: int,
) -> None:
    """Fit the local head from image labels, by AdamW through log-mean-exp pooling, with dropout of channels.

    It is fitted as if it were the whole logit with sharpness 1, and then counts half: it adds the place of a defect to
    the global head rather than its presence.

    Args:
        head: its local head is fitted in place.
        features, rows, defect, shares: see ``_fit_global_probe``.
        seed: for the samples and the dropout.
    """
    rng = np.random.default_rng(seed)
    mean, scale = channel_moments(features[0].features(rows[:: max(len(rows) // _SCALE_ROWS, 1)]))
    slope = torch.zeros_like(mean, requires_grad=True)
    offset = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([slope, offset], _RATE, weight_decay=_LOCAL_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS, pct_start=_WARMUP_SHARE)
    for _ in range(_STEPS):
        sampled = rng.choice(len(rows), _FEATURE_BATCH, p=shares)
        batch = features[int(rng.integers(len(features)))].features(rows[sampled])
        kept = torch.from_numpy((rng.random(len(mean)) >= _DROPOUT) / (1 - _DROPOUT)).float()
        scaled = slope * kept / scale
        logits = _local_logits(batch, scaled, offset - scaled @ mean)
        loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(defect[sampled]).float())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        scaled = slope / scale / POOLING_SHARPNESS
        fine = head.fine.in_channels
        head.fine.weight.copy_(scaled[None, :fine, None, None])
        head.coarse.weight.copy_(scaled[None, fine:, None, None])
        assert head.coarse.bias is not None
        head.coarse.bias.copy_(offset / POOLING_SHARPNESS - scaled @ mean)


def channel_moments(features: BackboneFeatures) -> tuple[Tensor, Tensor]:
    """Compute mean and standard deviation of each channel, fine channels first."""
    channels = [values.transpose(0, 1).flatten(1) for values in features]
    means = torch.cat([each.mean(dim=1) for each in channels])
    return means, torch.cat([each.std(dim=1) + _MIN_SCALE for each in channels])


def _local_logits(features: BackboneFeatures, slope: Tensor, offset: Tensor) -> Tensor:
    """Compute the logits of a local head with these weights, pooled with sharpness 1, float (n,)."""
    return POOLING_SHARPNESS * log_mean_exp_pool(_local_evidence(features, slope, offset) / POOLING_SHARPNESS)


def _local_evidence(features: BackboneFeatures, slope: Tensor, offset: Tensor) -> Tensor:
    """Compute the evidence of a local head with these weights, float (n, h, w)."""
    channels = features.fine.shape[1]
    fine, coarse = _project(features.fine, slope[:channels]), _project(features.coarse, slope[channels:])
    return (fine + upsample_nearest(coarse, fine))[:, 0] + offset


def _project(channels: Tensor, weights: Tensor) -> Tensor:
    """Convolve 1x1 to one channel, as a matrix product, which trains five times as fast on a CPU."""
    count, _, height, width = channels.shape
    return torch.bmm(weights.expand(count, 1, -1), channels.flatten(2)).reshape(count, 1, height, width)
