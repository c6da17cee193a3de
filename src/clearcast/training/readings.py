"""Linear probes: fit the global and the local head of the defect classifier on cached features.

Arguments of both: ``rows`` are the rows to learn from, ``defect`` (rows,) their labels, and ``shares`` (rows,) their
weights, which sum to 1.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clearcast.models.backbone import Features
from clearcast.models.judge import SHARPNESS, Judge, doubled, smooth_maximum
from clearcast.training.seeing import Seen

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

_DECAY = 0.03  # of the global head: times the sum of squared weights of the standardised extremes
_LBFGS_STEPS = 80
_STEPS, _BATCH, _RATE = 300, 32, 3e-3  # of the local head
_LOCAL_DECAY, _DROPOUT, _WARMUP_SHARE = 0.3, 0.3, 0.15
_SCALE_ROWS = 128  # rows that the scales of the channels are estimated from
_LEAST_SCALE = 1e-3  # added to standard deviations that may be 0


def read_whole(head: Judge, features: Sequence[Seen], rows: Rows, defect: NDArray[np.bool_], shares: Floats) -> None:
    """Fit the global head: logistic regression on standardised extremes of all views, a convex problem."""
    values = torch.from_numpy(np.concatenate([view.extremes[rows] for view in features])).double()
    mean, scale = values.mean(dim=0), values.std(dim=0, correction=0) + _LEAST_SCALE
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


def read_places(
    head: Judge, features: Sequence[Seen], rows: Rows, defect: NDArray[np.bool_], shares: Floats, seed: int
) -> None:
    """Fit the local head from image labels, by AdamW through log-mean-exp pooling, with dropout of channels.

    It is fitted as if it were the whole logit with sharpness 1, and then counts half: it adds the place of a defect to
    the global head rather than its presence.
    """
    rng = np.random.default_rng(seed)
    mean, scale = channel_scale(features[0].features(rows[:: max(len(rows) // _SCALE_ROWS, 1)]))
    slope = torch.zeros_like(mean, requires_grad=True)
    offset = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([slope, offset], _RATE, weight_decay=_LOCAL_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS, pct_start=_WARMUP_SHARE)
    for _ in range(_STEPS):
        drawn = rng.choice(len(rows), _BATCH, p=shares)
        batch = features[int(rng.integers(len(features)))].features(rows[drawn])
        kept = torch.from_numpy((rng.random(len(mean)) >= _DROPOUT) / (1 - _DROPOUT)).float()
        scaled = slope * kept / scale
        logits = SHARPNESS * smooth_maximum(_local_evidence(batch, scaled, offset - scaled @ mean) / SHARPNESS)
        loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(defect[drawn]).float())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        scaled = slope / scale / SHARPNESS
        fine = head.fine.in_channels
        head.fine.weight.copy_(scaled[None, :fine, None, None])
        head.coarse.weight.copy_(scaled[None, fine:, None, None])
        assert head.coarse.bias is not None
        head.coarse.bias.copy_(offset / SHARPNESS - scaled @ mean)


def _local_evidence(features: Features, slope: Tensor, offset: Tensor) -> Tensor:
    """Compute the evidence of a local head with these weights, float (n, h, w)."""
    channels = features.fine.shape[1]
    fine, coarse = _project(features.fine, slope[:channels]), _project(features.coarse, slope[channels:])
    return (fine + doubled(coarse, fine))[:, 0] + offset


def _project(channels: Tensor, weights: Tensor) -> Tensor:
    """Convolve 1x1 to one channel, as a matrix product, which trains five times as fast on a CPU."""
    count, _, height, width = channels.shape
    return torch.bmm(weights.expand(count, 1, -1), channels.flatten(2)).reshape(count, 1, height, width)


def channel_scale(features: Features) -> tuple[Tensor, Tensor]:
    """Compute mean and standard deviation of each channel, fine channels first."""
    channels = [values.transpose(0, 1).flatten(1) for values in features]
    means = torch.cat([each.mean(dim=1) for each in channels])
    return means, torch.cat([each.std(dim=1) + _LEAST_SCALE for each in channels])
