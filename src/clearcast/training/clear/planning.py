"""How long to fit: by the recipe, or as long as a budget of minutes lasts on this machine."""

import copy
import time
from collections.abc import Callable

import numpy as np
import torch

from clearcast.errors import RecipeError
from clearcast.models.clear.restorer import Restorer
from clearcast.training.clear.fitting import Steps, detail_batch, survey_batch
from clearcast.training.clear.gallery import Gallery
from clearcast.training.clear.modules import AnnealedModule, DetailModule, SurveyModule
from clearcast.training.clear.steps import EPOCH
from clearcast.training.datasets import Batch

RECIPE = Steps(survey=2400, detail=2400)
_SURVEY, _DETAIL = 0.3, 0.5  # shares of a budget; the rest reads pictures, fits the judge and measures
_TRIED = 4  # steps that are timed
SHORTEST = 2.0  # minutes


def refuse_short(minutes: float) -> None:
    """Refuse a budget in which nothing can be learned.

    Raises:
        RecipeError: with the least that is needed.
    """
    if not minutes >= SHORTEST:
        raise RecipeError(f"a budget of {minutes:g} minutes is too short to learn anything; give {SHORTEST:g} or more")


def steps_within(minutes: float, restorer: Restorer, gallery: Gallery, *, crop: int, device: str) -> Steps:
    """How many steps fit into a budget here, by trying a few on copies of the networks."""
    rng = np.random.default_rng(0)
    survey, detail = copy.deepcopy(restorer.survey), copy.deepcopy(restorer.detail)
    seconds = (
        _seconds(SurveyModule(survey, learning_rate=1e-4, steps=_TRIED), lambda: survey_batch(gallery, rng), device),
        _seconds(
            DetailModule(detail, survey, learning_rate=1e-4, steps=_TRIED, crop=crop),
            lambda: detail_batch(gallery, crop, rng),
            device,
        ),
    )
    shares = (share * minutes * 60 / each for share, each in zip((_SURVEY, _DETAIL), seconds, strict=True))
    counts = [max(1, int(steps / EPOCH)) * EPOCH for steps in shares]
    return Steps(survey=counts[0], detail=counts[1])


def _seconds(module: AnnealedModule, make: Callable[[], Batch], device: str) -> float:
    """What a step takes, without the first, which warms up."""
    module.to(device)
    optimizer = torch.optim.AdamW(module.network.parameters())
    begun = 0.0
    for step in range(_TRIED + 1):
        if step == 1:
            begun = time.perf_counter()
        batch = tuple(tensor.to(device) for tensor in make())
        optimizer.zero_grad()
        torch.autograd.backward(module.measures(batch)["loss"])
        optimizer.step()
    if device != "cpu":
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / _TRIED
