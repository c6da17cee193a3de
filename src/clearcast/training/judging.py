"""Fit the judge: linear readings of frozen features, with weights that let few parts go far."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from clearcast.data.balance import assign_parts
from clearcast.domain import Label
from clearcast.errors import SheetError
from clearcast.models.backbone import Backbone, Features
from clearcast.models.judge import SHARPNESS, Judge, doubled, smooth_maximum
from clearcast.progress import Progress
from clearcast.training.seeing import Seen, ViewOf, see

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

_FOLDS = 5
_DECAY = 0.03  # times the sum of squared weights of the standardised extremes
_NEWTON_STEPS = 80
_STEPS, _BATCH, _RATE, _LOCAL_DECAY, _DROPPED = 300, 32, 3e-3, 0.3, 0.3
_SPREAD_ROWS = 128  # so many rows tell how far the channels spread


@dataclass(frozen=True, kw_only=True)
class FittedJudge:
    """A judge, and what it would have said of each row had it not learned from the row's part.

    ``logits``: log-odds of defect of view 0 of each row, shape (rows,); None where a label has one part only, and no
    judge can be fitted without it. ``temperature`` makes sigmoid(logit / temperature) a probability, and a logit above
    ``threshold`` is a defect; both are chosen by ``logits``, and are 1 and 0 without them.
    """

    judge: Judge
    logits: Floats | None
    temperature: float
    threshold: float


def fit_judge(
    labels: Sequence[Label],
    parts: Sequence[str],
    view_of: ViewOf,
    *,
    backbone: Backbone,
    folder: Path,
    seed: int,
    views: int = 3,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> FittedJudge:
    """Fit the judge on all rows, and on all but each fold of parts to know how well it judges parts never seen.

    Args:
        labels: what is true of each row.
        parts: the part that each row shows.
        view_of: gives the pictures; see ``ViewOf``.
        backbone: stays as it is.
        folder: holds what the backbone sees, about 0.33 MB a view of 512 x 512 pixels; views that an earlier call left
            there are taken from there, so it must be for these pictures and this backbone alone.
        seed: the same seed and pictures give the same judge on the same machine.
        views: how many views of each row to learn from, at least 1.
        device: where the backbone runs; by default a GPU if there is one.
        progress: counts pictures seen, by far most of the time.

    Raises:
        SheetError: all rows have one label.
    """
    defect = np.array([label is Label.DEFECT for label in labels])
    if defect.all() or not defect.any():
        raise SheetError(
            f"all {len(defect)} rows to learn from are {'defect' if len(defect) and defect.all() else 'ok'}; a verdict "
            "can be learned only from pictures of both: add some to the sheet, or mend the labels"
        )
    seen = _see_all(backbone, view_of, len(defect), views, folder, device, progress)
    truth = _Truth(defect, np.unique(np.asarray(parts), return_inverse=True)[1])
    logits = _out_of_fold(seen, truth, seed)
    judge = _fit(seen, truth, np.arange(len(defect)), seed)
    if logits is None:
        return FittedJudge(judge=judge, logits=None, temperature=1.0, threshold=0.0)
    return FittedJudge(
        judge=judge,
        logits=logits,
        temperature=best_temperature(logits, defect, truth.weights(np.arange(len(defect)))),
        threshold=best_threshold(logits, defect),
    )


def best_threshold(logits: Floats, defect: NDArray[np.bool_]) -> float:
    """The logit above which to say defect so that fewest rows are misjudged; of equally good ones the nearest to 0."""
    edges = np.unique(logits)
    between = np.concatenate([[edges[0] - 1], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1], [0.0]])
    wrong = ((logits > between[:, None]) != defect).sum(axis=1)
    best = between[wrong == wrong.min()]
    return float(best[np.argmin(np.abs(best))])


def best_temperature(logits: Floats, defect: NDArray[np.bool_], weights: Floats) -> float:
    """The temperature from 0.05 to 20 for which sigmoid(logit / temperature) is most likely; 1 if all rows are right.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", with rows that weigh differently.
    """
    margins = np.where(defect, logits, -logits)
    if (margins > 0).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        return float(weights @ np.logaddexp(0, -margins / np.exp(log_temperature)))

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))


@dataclass(frozen=True)
class _Truth:
    defect: NDArray[np.bool_]
    parts: Rows

    def weights(self, rows: Rows) -> Floats:
        """How much each of some rows counts, 1 on average: labels alike, and a part as the root of its rows' number.

        Copies of a part teach less than as many parts, and more than one picture.
        """
        _, part, counts = np.unique(self.parts[rows], return_inverse=True, return_counts=True)
        weights = counts[part] ** -0.5
        for label in (False, True):
            own = self.defect[rows] == label
            weights[own] /= weights[own].sum()
        return np.asarray(weights * len(rows) / 2, np.float64)


def _see_all(
    backbone: Backbone,
    view_of: ViewOf,
    rows: int,
    views: int,
    folder: Path,
    device: torch.device | None,
    progress: Progress | None,
) -> list[Seen]:
    where = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone.to(where)
    seen = []
    for view in range(views):

        def tell(done: int, _: int, before: int = view * rows) -> None:
            if progress:
                progress(before + done, views * rows)

        seen.append(see(backbone, view_of, view=view, rows=rows, folder=folder, device=where, progress=tell))
    return seen


def _out_of_fold(seen: list[Seen], truth: _Truth, seed: int) -> Floats | None:
    """Logits of view 0 of each row by a judge that did not learn from its part; None where that cannot be."""
    fewest = min(len(np.unique(truth.parts[truth.defect == label])) for label in (False, True))
    folds = min(_FOLDS, fewest)
    if folds < 2:
        return None
    shares = (1 / folds,) * folds
    fold = assign_parts(
        [str(part) for part in truth.parts], [(bool(each),) for each in truth.defect], shares=shares, seed=seed
    )
    logits = np.zeros(len(fold))
    for each in range(folds):
        train, test = np.flatnonzero(fold != each), np.flatnonzero(fold == each)
        if len(np.unique(truth.defect[train])) < 2:  # where a part has both labels
            return None
        judge = _fit(seen, truth, train, seed)
        logits[test] = _judge(judge, seen[0], test)
    return logits


@torch.inference_mode()
def _judge(judge: Judge, seen: Seen, rows: Rows) -> Floats:
    batches = [judge(seen.features(rows[first : first + _BATCH])).logit for first in range(0, len(rows), _BATCH)]
    return np.asarray(torch.cat(batches).double().numpy(), np.float64)


def _fit(seen: list[Seen], truth: _Truth, rows: Rows, seed: int) -> Judge:
    weights = truth.weights(rows)
    judge = Judge()
    _read_whole(judge, seen, rows, truth.defect[rows], weights)
    _read_places(judge, seen, rows, truth.defect[rows], weights / weights.sum(), seed)
    return judge.eval()


def _read_whole(judge: Judge, seen: list[Seen], rows: Rows, defect: NDArray[np.bool_], weights: Floats) -> None:
    """Logistic regression on standardised extremes of all views; convex, so there is one best answer."""
    values = torch.from_numpy(np.concatenate([view.extremes[rows] for view in seen])).double()
    mean, spread = values.mean(dim=0), values.std(dim=0, correction=0) + 1e-3
    values = (values - mean) / spread
    signs = torch.from_numpy(np.where(defect, 1.0, -1.0)).repeat(len(seen))
    shares = torch.from_numpy(weights / weights.sum()).repeat(len(seen)) / len(seen)
    slope = torch.zeros(values.shape[1], dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, offset], max_iter=_NEWTON_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = shares @ functional.softplus(-signs * (values @ slope + offset)) + _DECAY * slope.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        judge.whole.weight.copy_((slope / spread)[None])
        judge.whole.bias.copy_(offset - (slope / spread) @ mean)


def _read_places(
    judge: Judge, seen: list[Seen], rows: Rows, defect: NDArray[np.bool_], shares: Floats, seed: int
) -> None:
    """Learn evidence at places from labels of whole pictures, through the smooth maximum; channels drop out at random.

    It is learned as if it were the whole logit of sharpness 1, and then counts half: what it adds to the whole reading
    is where, more than whether.
    """
    rng = np.random.default_rng(seed)
    mean, spread = _spread(seen[0].features(rows[:: max(len(rows) // _SPREAD_ROWS, 1)]))
    slope = torch.zeros_like(mean, requires_grad=True)
    offset = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([slope, offset], _RATE, weight_decay=_LOCAL_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS, pct_start=0.15)
    for _ in range(_STEPS):
        drawn = rng.choice(len(rows), _BATCH, p=shares)
        features = seen[rng.integers(len(seen))].features(rows[drawn])
        kept = torch.from_numpy((rng.random(len(mean)) >= _DROPPED) / (1 - _DROPPED)).float()
        scaled = slope * kept / spread
        logits = SHARPNESS * smooth_maximum(_evidence(features, scaled, offset - scaled @ mean) / SHARPNESS)
        loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(defect[drawn]).float())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
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


def _spread(features: Features) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, fine ones first."""
    channels = [values.transpose(0, 1).flatten(1) for values in features]
    return torch.cat([each.mean(dim=1) for each in channels]), torch.cat([each.std(dim=1) + 1e-3 for each in channels])
