"""Training budget: step times measured on this machine, and the steps and views that fit into a number of minutes."""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from clearcast.core.errors import RecipeError
from clearcast.nn.backbone import Backbone
from clearcast.nn.blocks import resize_area
from clearcast.nn.restorer import ClearDenoiser, denoise_tiled
from clearcast.train.datasets import EPOCH_STEPS, TensorBatch
from clearcast.train.paired_images import CLASSIFIER_VIEWS, PairedImageCache, classifier_shape
from clearcast.train.restorer_training import (
    AnnealedModule,
    DetailUNetModule,
    GlobalEncoderModule,
    crop_side,
    make_detail_batch,
    make_global_batch,
)

SHORTEST_BUDGET = 2.0  # minutes
DISTILLATION_VIEWS = 4  # of each row, for the student and again for its classifier
_MEASUREMENTS = 3  # denoised images and features of each test row when recipe clear is measured
_FEWEST_VIEWS = 2  # the denoised image and the noise-free one
_FEWEST_ROWS = 100  # that a classifier or a student learns from, if there are so many
_CLASSIFIER_SHARE = 0.25  # of a training budget, at most, for the classifier's views
_SURVEY_SHARE = 0.55  # of the rest; the detail network gets what is left
_STUDENT_VIEW_SHARE, _STUDENT_CLASSIFIER_SHARE = 0.15, 0.2  # of a distillation budget, at most
_STUDENT_DETAIL_SHARE = 0.25  # of the rest
_DISTILLATION_OVERHEAD = 75.0  # seconds to write the graphs and to check their parity
_TIMED = 4  # steps and images that are timed, after one that warms up


NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The steps of recipe ``clear``.

    Attributes:
        survey, detail: steps of each network, multiples of ``EPOCH``.
        views: of each row, for the classifier.
        rows: that the classifier learns from; None: all.
    """

    survey: int
    detail: int
    views: int = CLASSIFIER_VIEWS
    rows: int | None = None

    @property
    def summary(self) -> str:
        """What is trained how long, for people."""
        views = f"{self.views} views" if self.rows is None else f"{self.views} views of {self.rows} rows"
        return f"{self.survey} and {self.detail} steps and {views}"


@dataclass(frozen=True, kw_only=True)
class DistillationPlan:
    """The steps of a distillation.

    Attributes:
        glance, detail: steps of the student and of the detail network, multiples of ``EPOCH``.
        rows, judged: that the student and its classifier learn from.
    """

    glance: int
    detail: int
    rows: int
    judged: int

    @property
    def summary(self) -> str:
        """What is trained how long, for people."""
        return f"{self.glance} steps of the student, from {self.rows} rows, and {self.detail} of the detail network"


CLEAR_PLAN = TrainingPlan(survey=3600, detail=3200)


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Seconds on this machine.

    Attributes:
        steps: of one training step of each network, by its name.
        view: of the features of one view of a row.
        measurement: of what is repeated for each test row when the networks are measured.
    """

    steps: Mapping[str, float]
    view: float
    measurement: float


@dataclass(frozen=True, kw_only=True)
class ViewShare:
    """Views of training rows, whose features are computed before a network is fitted to them.

    Attributes:
        share: of the budget, at most.
        rows: how many there are.
        fewest, most: views of each row.
    """

    share: float
    rows: int
    fewest: int
    most: int


@dataclass(frozen=True, kw_only=True)
class TrainingWorkload:
    """What shares a budget.

    Attributes:
        views: by the name of what learns from them.
        steps: shares of the time that views and measurements leave, by the name of the network.
        measurements: how often ``StepTimes.measurement`` counts.
        overhead: seconds for all else.
    """

    views: Mapping[str, ViewShare]
    steps: Mapping[str, float]
    measurements: int
    overhead: float = 0.0


@dataclass(frozen=True, kw_only=True)
class BudgetAllotment:
    """What fits into a budget: views of each row and rows, and steps in multiples of ``EPOCH``; by name."""

    views: Mapping[str, tuple[int, int]]
    steps: Mapping[str, int]


def refuse_short_budget(minutes: float) -> None:
    """Refuse a budget that is too short to learn anything.

    Raises:
        RecipeError: with the shortest one.
    """
    if not minutes >= SHORTEST_BUDGET:
        raise RecipeError(
            f"a budget of {minutes:g} minutes is too short to learn anything; give {SHORTEST_BUDGET:g} or more"
        )


def allot_budget(minutes: float, times: StepTimes, workload: TrainingWorkload) -> BudgetAllotment:
    """Turn minutes into views and steps: measurements first, then views, then steps.

    Each network gets one epoch at least, and views of ``_FEWEST_ROWS`` rows, however short the budget is.
    """
    seconds = 60 * minutes - workload.overhead - workload.measurements * times.measurement
    views = {name: _views_within(each.share * seconds, each, times.view) for name, each in workload.views.items()}
    seconds -= sum(count * rows for count, rows in views.values()) * times.view
    steps = {
        name: max(1, int(share * seconds / times.steps[name] / EPOCH_STEPS)) * EPOCH_STEPS
        for name, share in workload.steps.items()
    }
    return BudgetAllotment(views=views, steps=steps)


def _views_within(seconds: float, wanted: ViewShare, view: float) -> tuple[int, int]:
    """Views of each row, and rows: fewer rows only if the fewest views of all of them take too long."""
    affordable = max(int(seconds / view), 0)
    count = min(max(affordable // wanted.rows, wanted.fewest), wanted.most)
    return count, min(wanted.rows, max(affordable // count, _FEWEST_ROWS))


def plan_training(minutes: float, times: StepTimes, *, rows: int, test_rows: int) -> TrainingPlan:
    """The steps and views of recipe ``clear`` that fit into a budget.

    Args:
        minutes: the budget.
        times: of ``survey`` and ``detail``.
        rows: how many the classifier may learn from.
        test_rows: how many are measured.
    """
    views = ViewShare(share=_CLASSIFIER_SHARE, rows=rows, fewest=_FEWEST_VIEWS, most=CLASSIFIER_VIEWS)
    workload = TrainingWorkload(
        views={"classifier": views},
        steps={"survey": _SURVEY_SHARE, "detail": 1 - _SURVEY_SHARE},
        measurements=_MEASUREMENTS * test_rows,
    )
    found = allot_budget(minutes, times, workload)
    count, chosen = found.views["classifier"]
    return TrainingPlan(**found.steps, views=count, rows=chosen if chosen < rows else None)


def plan_distillation(minutes: float, times: StepTimes, most: DistillationPlan, *, test_rows: int) -> DistillationPlan:
    """The steps and rows of a distillation that fit into a budget.

    Args:
        minutes: the budget.
        times: of ``glance`` and ``detail``.
        most: how many rows of each kind there are.
        test_rows: how many are measured.
    """
    shares = {"rows": (_STUDENT_VIEW_SHARE, most.rows), "judged": (_STUDENT_CLASSIFIER_SHARE, most.judged)}
    workload = TrainingWorkload(
        views={
            name: ViewShare(share=share, rows=rows, fewest=DISTILLATION_VIEWS, most=DISTILLATION_VIEWS)
            for name, (share, rows) in shares.items()
        },
        steps={"glance": 1 - _STUDENT_DETAIL_SHARE, "detail": _STUDENT_DETAIL_SHARE},
        measurements=test_rows,
        overhead=_DISTILLATION_OVERHEAD,
    )
    found = allot_budget(minutes, times, workload)
    return DistillationPlan(**found.steps, **{name: rows for name, (_, rows) in found.views.items()})


def time_training(
    restorer: ClearDenoiser, backbone: Backbone, gallery: PairedImageCache, *, device: torch.device
) -> StepTimes:
    """Measure the step times of recipe ``clear`` on copies of its networks."""
    rng = np.random.default_rng(0)
    tried = copy.deepcopy(restorer).to(device)
    crop = crop_side(gallery)
    survey = time_step(
        lambda network: GlobalEncoderModule(network, learning_rate=1e-4, steps=_TIMED),
        tried.global_encoder,
        lambda: make_global_batch(gallery, rng),
        device,
    )
    detail = time_step(
        lambda network: DetailUNetModule(network, tried.global_encoder, learning_rate=1e-4, steps=_TIMED, crop=crop),
        tried.detail,
        lambda: make_detail_batch(gallery, crop, rng),
        device,
    )
    view = _time_view(tried, backbone, gallery, device)
    return StepTimes(steps={"survey": survey, "detail": detail}, view=view, measurement=view)


def time_step(
    module_of: Callable[[NetworkT], AnnealedModule],
    network: NetworkT,
    make_batch: Callable[[], TensorBatch],
    device: torch.device,
) -> float:
    """Seconds of one training step, measured on a copy of the network; the first step, which warms up, is left out.

    Args:
        module_of: makes the module that fits a network, with a harmless learning rate.
        network: is not changed.
        make_batch: makes one batch.
        device: where the network is fitted.
    """
    module = module_of(copy.deepcopy(network))
    module.to(device)
    optimizer = torch.optim.AdamW(module.network.parameters())
    begun = 0.0
    for step in range(_TIMED + 1):
        if step == 1:
            begun = time.perf_counter()
        batch = tuple(tensor.to(device) for tensor in make_batch())
        optimizer.zero_grad()
        torch.autograd.backward(module.measures(batch)["loss"])
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / _TIMED


def time_call(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _time_view(restorer: ClearDenoiser, backbone: Backbone, gallery: PairedImageCache, device: torch.device) -> float:
    """Seconds to denoise an image, as is done for half of the views, and to compute its features, as for all."""
    rng = np.random.default_rng(0)
    backbone.to(device)

    def view() -> None:
        denoised, _ = denoise_tiled(restorer, gallery.draw(rng).noisy)
        with torch.inference_mode():
            pixels = torch.from_numpy(denoised.reshape(*gallery.shape, -1)).to(device).permute(2, 0, 1)
            backbone(resize_area(pixels[None].float() / 255, *classifier_shape(gallery.shape)))

    view()  # warms up
    return sum(time_call(view) for _ in range(_TIMED)) / _TIMED
