"""Setup of a distillation: the teacher's training rows, their cached features, and the training budget."""

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clearcast.core import imaging
from clearcast.core.console import ProgressCallback
from clearcast.core.errors import OutputError
from clearcast.data.sheet import SheetRow
from clearcast.nn.backbone import Backbone
from clearcast.nn.restorer import ClearDenoiser, denoise_tiled
from clearcast.nn.student import StudentEncoder
from clearcast.pipelines.train_classifier import sample_across_groups
from clearcast.pipelines.training_data import TrainingData, TrainRequest, load_or_decide_plan
from clearcast.train.distillation import (
    DISTILLATION_RATE,
    DistillationBatches,
    NoiseFreeViews,
    StudentModule,
    estimate_feature_scales,
)
from clearcast.train.feature_cache import cache_features
from clearcast.train.paired_images import PairedImageCache
from clearcast.train.restorer_training import DetailUNetModule, crop_side, make_detail_batch
from clearcast.train.training_budget import (
    DISTILLATION_VIEWS,
    DistillationPlan,
    StepTimes,
    plan_distillation,
    time_call,
    time_step,
)
from clearcast.types import Subset

STUDENT_STEPS, STUDENT_DETAIL_STEPS = 2400, 1500  # without a budget
_MOST_ROWS = 2000  # for the student; the features of a view of 160 x 160 pixels take 0.03 MB
_TIMED_ROWS = 8


class DistillationSetup:
    """The teacher's training rows, and the features that the backbone extracts from them.

    Args:
        request: has the seed, the device and the budget.
        ground: the teacher's training data.
        backbone: extracts features from noise-free images.
        shape: (height, width) in pixels of the student's input.
    """

    def __init__(self, request: TrainRequest, ground: TrainingData, backbone: Backbone, shape: tuple[int, int]) -> None:
        self._request = request
        self._ground = ground
        self._backbone = backbone
        self._shape = shape
        self._seed = request.seed
        self._device = request.torch_device

    def plan(self, glance: StudentEncoder, restorer: ClearDenoiser, gallery: PairedImageCache) -> DistillationPlan:
        """The steps and rows of the distillation: the recipe's, or those that fit into the budget.

        Args:
            glance: the student, not fitted yet; its step time is measured on a copy.
            restorer: likewise.
            gallery: what the detail network learns from.
        """

        def decide() -> DistillationPlan:
            most = DistillationPlan(
                glance=STUDENT_STEPS,
                detail=STUDENT_DETAIL_STEPS,
                rows=min(len(self._rows()), _MOST_ROWS),
                judged=len(self._ground.indices_of(Subset.TRAIN)),
            )
            if self._request.budget is None:
                return most
            times = self._time(glance, restorer, gallery)
            test_rows = len(self._ground.indices_of(Subset.TEST))
            return plan_distillation(self._request.budget, times, most, test_rows=test_rows)

        return load_or_decide_plan(self._request, self._ground, DistillationPlan, decide)

    def lessons(self, folder: Path, rows: int, progress: ProgressCallback) -> DistillationBatches:
        """The student's batches, from so many rows of as many groups as possible; ``folder`` keeps the features."""
        return self._lessons(self._chosen(rows), DISTILLATION_VIEWS, folder, progress)

    def _lessons(
        self, rows: Sequence[SheetRow], count: int, folder: Path, progress: ProgressCallback
    ) -> DistillationBatches:
        views = NoiseFreeViews(self._ground.pairs(rows), self._ground.channels, self._shape, seed=self._seed)
        folder.mkdir(parents=True, exist_ok=True)
        self._backbone.to(self._device)
        features = []
        for view in range(count):

            def show(done: int, _: int, before: int = view * len(rows)) -> None:
                progress(before + done, count * len(rows))

            features.append(
                cache_features(
                    self._backbone,
                    views,
                    view=view,
                    rows=len(rows),
                    folder=folder,
                    device=self._device,
                    progress=show,
                )
            )
        return DistillationBatches(views, features)

    def _rows(self) -> list[int]:
        """The indices of the training rows that have a noise-free image.

        Raises:
            OutputError: there is none.
        """
        places = [place for place, row in enumerate(self._ground.rows_of(Subset.TRAIN)) if row.reference]
        if not places:
            raise OutputError("no training row has a noise-free image; distillation needs them")
        return places

    def _chosen(self, count: int) -> list[SheetRow]:
        rows, parts, places = self._ground.rows_of(Subset.TRAIN), self._ground.groups_of(Subset.TRAIN), self._rows()
        return [
            rows[places[place]] for place in sample_across_groups([parts[place] for place in places], count, self._seed)
        ]

    def _time(self, glance: StudentEncoder, restorer: ClearDenoiser, gallery: PairedImageCache) -> StepTimes:
        rows, rng = self._chosen(_TIMED_ROWS), np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "seen"
            view = time_call(lambda: self._lessons(rows, 2, folder, lambda *_: None)) / (2 * len(rows))
            lessons = self._lessons(rows, 2, folder, lambda *_: None)
            student = time_step(
                lambda network: StudentModule(
                    network,
                    estimate_feature_scales(lessons.features[0]),
                    learning_rate=DISTILLATION_RATE / 100,
                    steps=1,
                ),
                glance,
                lambda: lessons.batch(rng),
                self._device,
            )
        crop, survey = (
            crop_side(gallery),
            copy.deepcopy(restorer.global_encoder),
        )  # a copy, since it moves to the device
        detail = time_step(
            lambda network: DetailUNetModule(
                network, survey, learning_rate=DISTILLATION_RATE / 100, steps=1, crop=crop
            ),
            restorer.detail,
            lambda: make_detail_batch(gallery, crop, rng),
            self._device,
        )
        noisy = imaging.load_image(self._ground.rows.sheet.resolve(rows[0].noisy), self._ground.channels)
        return StepTimes(
            steps={"glance": student, "detail": detail},
            view=view,
            measurement=time_call(lambda: denoise_tiled(restorer, noisy)),
        )
