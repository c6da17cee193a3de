"""How long to fit: by the recipe, or as long as a budget of minutes lasts on this machine."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from clearcast.errors import RecipeError
from clearcast.models.backbone import Backbone
from clearcast.models.clear.resample import shrink
from clearcast.models.clear.restorer import Restorer
from clearcast.models.clear.restoring import restore
from clearcast.training.clear.fitting import Plan, crop_of, detail_batch, survey_batch
from clearcast.training.clear.gallery import Gallery
from clearcast.training.clear.modules import AnnealedModule, DetailModule, SurveyModule
from clearcast.training.clear.steps import EPOCH
from clearcast.training.clear.verdicts import VIEWS, judged_shape
from clearcast.training.datasets import Batch

NetworkT = TypeVar("NetworkT", bound=nn.Module)

RECIPE = Plan(survey=3600, detail=3200)
_JUDGE = 0.25  # share of a budget that views may take
_SURVEY = 0.55  # share of the rest; the detail network gets what is left
_LOOKS = 3  # times that measuring looks at each test row
_TRIED = 4  # steps and pictures that are timed
_FEWEST_VIEWS = 2  # the restored picture and the noise-free one
_FEWEST_ROWS = 100  # for the judge
SHORTEST = 2.0  # minutes


def refuse_short(minutes: float) -> None:
    """Refuse a budget in which nothing can be learned.

    Raises:
        RecipeError: with the least that is needed.
    """
    if not minutes >= SHORTEST:
        raise RecipeError(f"a budget of {minutes:g} minutes is too short to learn anything; give {SHORTEST:g} or more")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds on this machine: of a step of survey and detail network, and of restoring and looking at a picture."""

    survey: float
    detail: float
    look: float


def plan_within(minutes: float, pace: Pace, *, rows: int, measured: int) -> Plan:
    """What fits into a budget, after the measuring at its end: views for the judge first, then steps.

    Where two views of every row take more than their share, the judge learns from fewer rows.

    Args:
        minutes: the budget.
        pace: of this machine.
        rows: how many rows the judge may learn from.
        measured: how many rows are measured.
    """
    seconds = 60 * minutes - _LOOKS * measured * pace.look
    looks = max(int(_JUDGE * seconds / pace.look), 0)
    views = min(max(looks // rows, _FEWEST_VIEWS), VIEWS)
    judged = min(rows, max(looks // views, _FEWEST_ROWS))
    seconds -= views * judged * pace.look
    survey, detail = _SURVEY * seconds / pace.survey, (1 - _SURVEY) * seconds / pace.detail
    return Plan(survey=_whole(survey), detail=_whole(detail), views=views, rows=judged if judged < rows else None)


def _whole(steps: float) -> int:
    return max(1, int(steps / EPOCH)) * EPOCH


def pace_of(restorer: Restorer, backbone: Backbone, gallery: Gallery, *, device: torch.device) -> Pace:
    """How fast this machine is, by trying a little of everything on copies of the networks."""
    rng = np.random.default_rng(0)
    tried = copy.deepcopy(restorer).to(device)
    survey, detail, crop = tried.global_encoder, tried.detail, crop_of(gallery)
    return Pace(
        survey=_seconds(
            SurveyModule(survey, learning_rate=1e-4, steps=_TRIED), lambda: survey_batch(gallery, rng), device
        ),
        detail=_seconds(
            DetailModule(detail, survey, learning_rate=1e-4, steps=_TRIED, crop=crop),
            lambda: detail_batch(gallery, crop, rng),
            device,
        ),
        look=_looking(tried, backbone, gallery, device),
    )


def seconds_a_step(
    module_of: Callable[[NetworkT], AnnealedModule], network: NetworkT, make: Callable[[], Batch], device: torch.device
) -> float:
    """What a step of fitting takes here, tried on a copy of the network.

    Args:
        module_of: gives what fits a network, with a learning rate that does no harm.
        network: not touched.
        make: makes a batch.
        device: where it is fitted.
    """
    return _seconds(module_of(copy.deepcopy(network)), make, device)


def _looking(restorer: Restorer, backbone: Backbone, gallery: Gallery, device: torch.device) -> float:
    """Seconds to restore a picture, as is done for half of the views, and to see it with the backbone, as for all."""
    rng = np.random.default_rng(0)
    backbone.to(device)
    begun = 0.0
    for picture in range(_TRIED + 1):
        if picture == 1:
            begun = time.perf_counter()
        restored, _ = restore(restorer, gallery.draw(rng).noisy)
        with torch.inference_mode():
            pixels = torch.from_numpy(restored.reshape(*gallery.shape, -1)).to(device).permute(2, 0, 1)
            backbone(shrink(pixels[None].float() / 255, *judged_shape(gallery.shape)))
    return (time.perf_counter() - begun) / _TRIED


def _seconds(module: AnnealedModule, make: Callable[[], Batch], device: torch.device) -> float:
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
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / _TRIED
