"""Fits the restorer: first the survey, on whole pictures; then the detail network, on crops of them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from clearcast.models.clear.resample import shrink
from clearcast.models.clear.restorer import Restorer
from clearcast.models.clear.waves import SIDE
from clearcast.training.clear.gallery import Gallery
from clearcast.training.clear.modules import DetailModule, SurveyModule
from clearcast.training.clear.steps import EPOCH, fixed_loader, step_loader
from clearcast.training.clear.verdicts import VIEWS
from clearcast.training.datasets import Batch
from clearcast.training.fit import Fitted, Surroundings, fit_network, is_fitted
from clearcast.training.recipe import Fit
from clearcast.training.synthesis import TYPES, Spoiled

SURVEY_BATCH = 8  # pictures
DETAIL_BATCH = 4  # pictures
CROPS = 4  # of each picture
CROP = 160  # pixels a side, at most
_HELDOUT = 4  # batches


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long to fit: steps of each network, multiples of ``steps.EPOCH``, and views of each row for the judge.

    ``rows``: from how many rows the judge learns; None: all.
    """

    survey: int
    detail: int
    views: int = VIEWS
    rows: int | None = None


def fit_restorer(
    restorer: Restorer, training: Gallery, heldout: Gallery, folder: Path, *, plan: Plan, around: Surroundings
) -> tuple[Fitted, Fitted]:
    """Fit survey and detail network in folders of ``folder``; goes on where an earlier call was stopped.

    Args:
        restorer: not fitted yet; it is fitted in place.
        training: what it learns from.
        heldout: pictures of the same shape, of other parts, which only show how the fitting goes.
        folder: for checkpoints.
        plan: how many steps.
        around: the seed, and where the work is shown.

    Raises:
        OutputError: a checkpoint is damaged.
        KeyboardInterrupt: the user stopped it.
    """
    if not is_fitted(folder / "survey"):  # what was fitted to another survey is of no use
        shutil.rmtree(folder / "detail", ignore_errors=True)
    survey = fit_network(
        SurveyModule(restorer.survey, learning_rate=2e-3, steps=plan.survey),
        step_loader(lambda rng: survey_batch(training, rng), around.seed),
        fixed_loader(lambda rng: survey_batch(heldout, rng), around.seed, _HELDOUT),
        folder / "survey",
        settings=Fit(learning_rate=2e-3, batch=SURVEY_BATCH, epochs=plan.survey // EPOCH),
        title="Survey",
        around=around,
    )
    return survey, fit_detail(restorer, training, heldout, folder / "detail", steps=plan.detail, around=around)


def fit_detail(
    restorer: Restorer, training: Gallery, heldout: Gallery, folder: Path, *, steps: int, around: Surroundings
) -> Fitted:
    """Fit the detail network to a survey that is fitted; as ``fit_restorer``, in a folder of its own."""
    crop = crop_of(training)
    return fit_network(
        DetailModule(restorer.detail, restorer.survey, learning_rate=2e-3, steps=steps, crop=crop),
        step_loader(lambda rng: detail_batch(training, crop, rng), around.seed),
        fixed_loader(lambda rng: detail_batch(heldout, crop, rng), around.seed, _HELDOUT),
        folder,
        settings=Fit(learning_rate=2e-3, batch=DETAIL_BATCH * CROPS, epochs=steps // EPOCH),
        title="Detail",
        around=around,
    )


def crop_of(gallery: Gallery) -> int:
    """Pixels a side of the crops that the detail network learns from."""
    return min(CROP, *gallery.shape)


def survey_batch(gallery: Gallery, rng: np.random.Generator) -> Batch:
    """See ``SurveyModule``."""
    drawn = [gallery.draw(rng) for _ in range(SURVEY_BATCH)]
    noisy, clean = _pixels(drawn)
    waves = torch.stack([_waves(one) for one in drawn])
    kinds = torch.tensor([TYPES.index(one.noise_type) for one in drawn])
    levels = torch.tensor([[_level(level) for level in one.levels.values()] for one in drawn])
    return noisy, clean, waves, kinds, levels


def detail_batch(gallery: Gallery, crop: int, rng: np.random.Generator) -> Batch:
    """See ``DetailModule``."""
    noisy, clean = _pixels([gallery.draw(rng) for _ in range(DETAIL_BATCH)])
    room = np.array(noisy.shape[1:3]) - crop
    return noisy, clean, torch.from_numpy(rng.integers(0, room + 1, (CROPS, 2)))


def _pixels(drawn: list[Spoiled]) -> tuple[torch.Tensor, torch.Tensor]:
    noisy, clean = (np.stack(pictures) for pictures in ([d.noisy for d in drawn], [d.clean for d in drawn]))
    shape = (*noisy.shape[:3], -1)
    return torch.from_numpy(noisy.reshape(shape)), torch.from_numpy(clean.reshape(shape))


def _waves(one: Spoiled) -> torch.Tensor:
    if one.waves is None:
        return torch.full((1, SIDE, SIDE), torch.nan)
    return shrink(torch.from_numpy(one.waves)[None, None], SIDE, SIDE)[0]


def _level(value: float | None) -> float:
    return torch.nan if value is None else value
