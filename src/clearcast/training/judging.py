"""Fit the judge on parts with weights that let few of them go far, and know how it judges parts never seen."""

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
_BATCH = 32


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
    backbone: Sees,
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
    """The logit above which to say defect so that fewest rows are misjudged; of equally good ones the nearest to 0.

    Raises:
        ModelOutputError: a logit is not finite.
    """
    require_finite("log-odds of defect", logits)
    edges = np.unique(logits)
    between = np.concatenate([[edges[0] - 1], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1], [0.0]])
    wrong = ((logits > between[:, None]) != defect).sum(axis=1)
    best = between[wrong == wrong.min()]
    return float(best[np.argmin(np.abs(best))])


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
    backbone: Sees,
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
    shares = weights / weights.sum()
    judge = Judge()
    read_whole(judge, seen, rows, truth.defect[rows], shares)
    read_places(judge, seen, rows, truth.defect[rows], shares, seed)
    return judge.eval()
