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
from clearcast.nn.denoiser import ClearDenoiser, denoise_tiled
from clearcast.train.datasets import EPOCH_STEPS, TensorBatch
from clearcast.train.denoiser_training import (
    AnnealedModule,
    DetailUNetModule,
    GlobalEncoderModule,
    crop_side,
    make_detail_batch,
    make_global_batch,
)
from clearcast.train.paired_images import CLASSIFIER_VIEWS, PairedImageCache, classifier_shape

_SHORTEST_BUDGET = 2.0  # minutes
DISTILLATION_VIEWS = 4  # of each row, for the student and again for its classifier
_MEASUREMENTS = 3  # denoised images and features of each test row when recipe clear is measured
_MIN_VIEWS = 2  # the denoised image and the noise-free one
_MIN_ROWS = 100  # that a classifier or a student learns from, if there are so many
_CLASSIFIER_SHARE = 0.25  # of a training budget, at most, for the classifier's views
_GLOBAL_SHARE = 0.55  # of the rest; the detail U-Net gets what is left
_STUDENT_VIEW_SHARE, _STUDENT_CLASSIFIER_SHARE = 0.15, 0.2  # of a distillation budget, at most
_STUDENT_DETAIL_SHARE = 0.25  # of the rest
_DISTILLATION_OVERHEAD = 75.0  # seconds to write the graphs and to check their parity
_TIMED = 4  # steps and images that are timed, after one that warms up

NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Training plan of recipe ``clear``: steps and views.

    Attributes:
        survey, detail: steps of the global encoder and of the detail U-Net, multiples of ``EPOCH_STEPS``.
        views: of each row, for the classifier.
        rows: that the classifier learns from; None: all.
    """

    survey: int
    detail: int
    views: int = CLASSIFIER_VIEWS
    rows: int | None = None

    @property
    def summary(self) -> str:
        """A sentence on what is trained how long, for messages."""
        views = f"{self.views} views" if self.rows is None else f"{self.views} views of {self.rows} rows"
        return f"{self.survey} and {self.detail} steps and {views}"


@dataclass(frozen=True, kw_only=True)
class DistillationPlan:
    """Distillation plan: steps and rows.

    Attributes:
        glance, detail: steps of the student and of the detail U-Net, multiples of ``EPOCH_STEPS``.
        rows, judged: numbers of rows that the student and its classifier learn from.
    """

    glance: int
    detail: int
    rows: int
    judged: int

    @property
    def summary(self) -> str:
        """A sentence on what is trained how long, for messages."""
        return f"{self.glance} steps of the student, from {self.rows} rows, and {self.detail} of the detail U-Net"


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Measured times in seconds, on this machine.

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
    """Workload that shares a budget.

    Attributes:
        views: by the name of what learns from them.
        steps: shares of the time that views and measurements leave, by the name of the network.
        measurements: how often ``StepTimes.measurement`` counts.
        overhead: seconds for everything else.
    """

    views: Mapping[str, ViewShare]
    steps: Mapping[str, float]
    measurements: int
    overhead: float = 0.0


@dataclass(frozen=True, kw_only=True)
class BudgetAllotment:
    """What fits into a budget: views of each row and rows, and steps in multiples of ``EPOCH_STEPS``; by name."""

    views: Mapping[str, tuple[int, int]]
    steps: Mapping[str, int]


CLEAR_PLAN = TrainingPlan(survey=3600, detail=3200)


def refuse_short_budget(minutes: float) -> None:
    """Refuse a budget that is too short to learn anything.

    Raises:
        RecipeError: with the shortest one.
    """
    if not minutes >= _SHORTEST_BUDGET:
        raise RecipeError(
            f"a budget of {minutes:g} minutes is too short to learn anything; give {_SHORTEST_BUDGET:g} or more"
        )


def allot_budget(minutes: float, times: StepTimes, workload: TrainingWorkload) -> BudgetAllotment:
    """Turn minutes into views and steps: measurements first, then views, then steps.

    Each network gets one epoch at least, and views of ``_MIN_ROWS`` rows, however short the budget is.
    """
    seconds = 60 * minutes - workload.overhead - workload.measurements * times.measurement
    views = {name: _views_within(each.share * seconds, each, times.view) for name, each in workload.views.items()}
    seconds -= sum(count * rows for count, rows in views.values()) * times.view
    steps = {
        name: max(1, int(share * seconds / times.steps[name] / EPOCH_STEPS)) * EPOCH_STEPS
        for name, share in workload.steps.items()
    }
    return BudgetAllotment(views=views, steps=steps)


def _views_within(seconds: float, view_share: ViewShare, view: float) -> tuple[int, int]:
    """Compute views of each row, and rows: fewer rows only if the fewest views of all of them take too long."""
    affordable = max(int(seconds / view), 0)
    count = min(max(affordable // view_share.rows, view_share.fewest), view_share.most)
    return count, min(view_share.rows, max(affordable // count, _MIN_ROWS))


def plan_training(minutes: float, times: StepTimes, *, rows: int, test_rows: int) -> TrainingPlan:
    """Plan the steps and views of recipe ``clear`` that fit into a budget.

    Args:
        minutes: the budget.
        times: of ``survey`` and ``detail``.
        rows: how many the classifier may learn from.
        test_rows: how many are measured.
    """
    views = ViewShare(share=_CLASSIFIER_SHARE, rows=rows, fewest=_MIN_VIEWS, most=CLASSIFIER_VIEWS)
    workload = TrainingWorkload(
        views={"classifier": views},
        steps={"survey": _GLOBAL_SHARE, "detail": 1 - _GLOBAL_SHARE},
        measurements=_MEASUREMENTS * test_rows,
    )
    allotment = allot_budget(minutes, times, workload)
    count, chosen = allotment.views["classifier"]
    return TrainingPlan(**allotment.steps, views=count, rows=chosen if chosen < rows else None)


def plan_distillation(minutes: float, times: StepTimes, most: DistillationPlan, *, test_rows: int) -> DistillationPlan:
    """Plan the steps and rows of a distillation that fit into a budget.

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
    allotment = allot_budget(minutes, times, workload)
    return DistillationPlan(**allotment.steps, **{name: rows for name, (_, rows) in allotment.views.items()})


def time_training(
    denoiser: ClearDenoiser, backbone: Backbone, images: PairedImageCache, *, device: torch.device
) -> StepTimes:
    """Measure the step times of recipe ``clear`` on copies of its networks."""
    rng = np.random.default_rng(0)
    copied = copy.deepcopy(denoiser).to(device)
    crop = crop_side(images)
    global_step = time_step(
        lambda network: GlobalEncoderModule(network, learning_rate=1e-4, steps=_TIMED),
        copied.global_encoder,
        lambda: make_global_batch(images, rng),
        device,
    )
    detail_step = time_step(
        lambda network: DetailUNetModule(network, copied.global_encoder, learning_rate=1e-4, steps=_TIMED, crop=crop),
        copied.detail,
        lambda: make_detail_batch(images, crop, rng),
        device,
    )
    view = _time_view(copied, backbone, images, device)
    return StepTimes(steps={"survey": global_step, "detail": detail_step}, view=view, measurement=view)


def time_step(
    make_module: Callable[[NetworkT], AnnealedModule],
    network: NetworkT,
    make_batch: Callable[[], TensorBatch],
    device: torch.device,
) -> float:
    """Measure the seconds of one training step on a copy of the network; the first step, which warms up, is left out.

    Args:
        make_module: makes the module that fits a network, with a harmless learning rate.
        network: is not changed.
        make_batch: makes one batch.
        device: where the network is fitted.
    """
    module = make_module(copy.deepcopy(network))
    module.to(device)
    optimizer = torch.optim.AdamW(module.network.parameters())
    start = 0.0
    for step in range(_TIMED + 1):
        if step == 1:
            start = time.perf_counter()
        batch = tuple(tensor.to(device) for tensor in make_batch())
        optimizer.zero_grad()
        torch.autograd.backward(module.compute_metrics(batch)["loss"])
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / _TIMED


def time_call(work: Callable[[], object]) -> float:
    """Measure the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _time_view(denoiser: ClearDenoiser, backbone: Backbone, images: PairedImageCache, device: torch.device) -> float:
    """Measure the seconds to denoise an image, for half of the views, and to compute its features, for all."""
    rng = np.random.default_rng(0)
    backbone.to(device)

    def view() -> None:
        denoised, _ = denoise_tiled(denoiser, images.sample(rng).noisy)
        with torch.inference_mode():
            pixels = torch.from_numpy(denoised.reshape(*images.shape, -1)).to(device).permute(2, 0, 1)
            backbone(resize_area(pixels[None].float() / 255, *classifier_shape(images.shape)))

    view()  # warms up
    return sum(time_call(view) for _ in range(_TIMED)) / _TIMED
