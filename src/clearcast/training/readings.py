"""The two linear readings of the judge, fitted on what the backbone sees: of the whole picture, and of its places.

``rows`` are those to learn from, ``defect`` (rows,) what is true of each, and ``shares`` (rows,) how much each counts,
adding up to 1.
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

_DECAY = 0.03  # times the sum of squared weights of the standardised extremes
_NEWTON_STEPS = 80
_STEPS, _BATCH, _RATE, _LOCAL_DECAY, _DROPPED = 300, 32, 3e-3, 0.3, 0.3
_SPREAD_ROWS = 128  # so many rows tell how far the channels spread


def read_whole(judge: Judge, seen: Sequence[Seen], rows: Rows, defect: NDArray[np.bool_], shares: Floats) -> None:
    """Logistic regression on standardised extremes of all views; convex, so there is one best answer."""
    values = torch.from_numpy(np.concatenate([view.extremes[rows] for view in seen])).double()
    mean, spread = values.mean(dim=0), values.std(dim=0, correction=0) + 1e-3
    values = (values - mean) / spread
    signs = torch.from_numpy(np.where(defect, 1.0, -1.0)).repeat(len(seen))
    counts = torch.from_numpy(shares).repeat(len(seen)) / len(seen)
    slope = torch.zeros(values.shape[1], dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, offset], max_iter=_NEWTON_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = counts @ functional.softplus(-signs * (values @ slope + offset)) + _DECAY * slope.square().sum()
        torch.autograd.backward(loss)
        return loss

    step: Callable[[Callable[[], Tensor]], object] = optimizer.step  # which PyTorch leaves untyped
    step(closure)
    with torch.no_grad():
        judge.whole.weight.copy_((slope / spread)[None])
        judge.whole.bias.copy_(offset - (slope / spread) @ mean)


def read_places(
    judge: Judge, seen: Sequence[Seen], rows: Rows, defect: NDArray[np.bool_], shares: Floats, seed: int
) -> None:
    """Learn evidence at places from labels of whole pictures, through the smooth maximum; channels drop out at random.

    It is learned as if it were the whole logit of sharpness 1, and then counts half: what it adds to the whole reading
    is where, more than whether.
    """
    rng = np.random.default_rng(seed)
    mean, spread = channel_scale(seen[0].features(rows[:: max(len(rows) // _SPREAD_ROWS, 1)]))
    slope = torch.zeros_like(mean, requires_grad=True)
    offset = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([slope, offset], _RATE, weight_decay=_LOCAL_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS, pct_start=0.15)
    for _ in range(_STEPS):
        drawn = rng.choice(len(rows), _BATCH, p=shares)
        features = seen[int(rng.integers(len(seen)))].features(rows[drawn])
        kept = torch.from_numpy((rng.random(len(mean)) >= _DROPPED) / (1 - _DROPPED)).float()
        scaled = slope * kept / spread
        logits = SHARPNESS * smooth_maximum(_evidence(features, scaled, offset - scaled @ mean) / SHARPNESS)
        loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(defect[drawn]).float())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        scaled = slope / spread / SHARPNESS
        fine = judge.fine.in_channels
        judge.fine.weight.copy_(scaled[None, :fine, None, None])
        judge.coarse.weight.copy_(scaled[None, fine:, None, None])
        assert judge.coarse.bias is not None
        judge.coarse.bias.copy_(offset / SHARPNESS - scaled @ mean)


def _evidence(features: Features, slope: Tensor, offset: Tensor) -> Tensor:
    """What the judge's convolutions would say with these weights: float (n, h, w)."""
    channels = features.fine.shape[1]
    fine, coarse = _read(features.fine, slope[:channels]), _read(features.coarse, slope[channels:])
    return (fine + doubled(coarse, fine))[:, 0] + offset


def _read(channels: Tensor, weights: Tensor) -> Tensor:
    """A convolution of 1 x 1 to one channel as a product of matrices, which learns five times as fast on a CPU."""
    count, _, height, width = channels.shape
    return torch.bmm(weights.expand(count, 1, -1), channels.flatten(2)).reshape(count, 1, height, width)


def channel_scale(features: Features) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, fine ones first."""
    channels = [values.transpose(0, 1).flatten(1) for values in features]
    return torch.cat([each.mean(dim=1) for each in channels]), torch.cat([each.std(dim=1) + 1e-3 for each in channels])
