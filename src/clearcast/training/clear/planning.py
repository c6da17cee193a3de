"""How long to fit: by the recipe, or as long as a budget of minutes lasts on this machine."""

import copy
import time
from collections.abc import Callable

import numpy as np
import torch

from clearcast.errors import RecipeError
from clearcast.models.backbone import Backbone
from clearcast.models.clear.restorer import Restorer
from clearcast.models.clear.restoring import restore
from clearcast.training.clear.fitting import Plan, crop_of, detail_batch, survey_batch
from clearcast.training.clear.gallery import Gallery
from clearcast.training.clear.modules import AnnealedModule, DetailModule, SurveyModule
from clearcast.training.clear.steps import EPOCH
from clearcast.training.clear.verdicts import VIEWS
from clearcast.training.datasets import Batch

RECIPE = Plan(survey=2400, detail=2400)
_SURVEY, _DETAIL, _JUDGE = 0.3, 0.4, 0.2  # shares of a budget; the rest reads pictures and measures
_TRIED = 4  # steps and pictures that are timed
_FEWEST_VIEWS = 2  # the restored picture and the noise-free one
SHORTEST = 2.0  # minutes


def refuse_short(minutes: float) -> None:
    """Refuse a budget in which nothing can be learned.

    Raises:
        RecipeError: with the least that is needed.
    """
    if not minutes >= SHORTEST:
        raise RecipeError(f"a budget of {minutes:g} minutes is too short to learn anything; give {SHORTEST:g} or more")


def plan_within(
    minutes: float, restorer: Restorer, backbone: Backbone, gallery: Gallery, *, device: torch.device
) -> Plan:
    """What fits into a budget on this machine, by trying a little of it on copies of the networks."""
    rng = np.random.default_rng(0)
    tried = copy.deepcopy(restorer).to(device)
    survey, detail, crop = tried.survey, tried.detail, crop_of(gallery)
    seconds = (
        _seconds(SurveyModule(survey, learning_rate=1e-4, steps=_TRIED), lambda: survey_batch(gallery, rng), device),
        _seconds(
            DetailModule(detail, survey, learning_rate=1e-4, steps=_TRIED, crop=crop),
            lambda: detail_batch(gallery, crop, rng),
            device,
        ),
    )
    shares = (share * minutes * 60 / each for share, each in zip((_SURVEY, _DETAIL), seconds, strict=True))
    steps = [max(1, int(count / EPOCH)) * EPOCH for count in shares]
    looks = _JUDGE * minutes * 60 / (len(gallery) * _looking(tried, backbone, gallery, device))
    return Plan(survey=steps[0], detail=steps[1], views=min(max(int(looks), _FEWEST_VIEWS), VIEWS))


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
            backbone(pixels[None].float() / 255)
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
