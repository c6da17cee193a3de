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
from clearcast.nn.denoiser import ClearDenoiser, denoise_tiled
from clearcast.nn.student import StudentEncoder
from clearcast.pipelines.train_classifier import sample_across_groups
from clearcast.pipelines.training_data import TrainingData, TrainRequest, load_or_decide_plan
from clearcast.train.denoiser_training import DetailUNetModule, crop_side, make_detail_batch
from clearcast.train.distillation import (
    DISTILLATION_RATE,
    DistillationBatches,
    NoiseFreeViews,
    StudentModule,
    estimate_feature_scales,
)
from clearcast.train.feature_cache import cache_features
from clearcast.train.paired_images import PairedImageCache
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
_MAX_ROWS = 2000  # for the student; the features of a view of 160 x 160 pixels take 0.03 MB
_TIMED_ROWS = 8


class DistillationSetup:
    """The teacher's training rows, and the features that the backbone extracts from them.

    Args:
        request: has the seed, the device and the budget.
        data: the teacher's training data.
        backbone: extracts features from noise-free images.
        shape: (height, width) in pixels of the student's input.
    """

    def __init__(self, request: TrainRequest, data: TrainingData, backbone: Backbone, shape: tuple[int, int]) -> None:
        self._request = request
        self._data = data
        self._backbone = backbone
        self._shape = shape
        self._seed = request.seed
        self._device = request.torch_device

    def plan(self, student: StudentEncoder, denoiser: ClearDenoiser, cache: PairedImageCache) -> DistillationPlan:
        """Decide the steps and rows of the distillation: the recipe's, or those that fit into the budget.

        Args:
            student: not fitted yet; its step time is measured on a copy.
            denoiser: likewise.
            cache: the images that the detail U-Net is fitted to.
        """

        def decide() -> DistillationPlan:
            largest = DistillationPlan(
                glance=STUDENT_STEPS,
                detail=STUDENT_DETAIL_STEPS,
                rows=min(len(self._rows_with_reference()), _MAX_ROWS),
                judged=len(self._data.indices_of(Subset.TRAIN)),
            )
            if self._request.budget is None:
                return largest
            times = self._measure_step_times(student, denoiser, cache)
            test_rows = len(self._data.indices_of(Subset.TEST))
            return plan_distillation(self._request.budget, times, largest, test_rows=test_rows)

        return load_or_decide_plan(self._request, self._data, DistillationPlan, decide)

    def batches(self, folder: Path, rows: int, progress: ProgressCallback) -> DistillationBatches:
        """Make the student's batches from ``rows`` rows of as many groups as possible; cache features in ``folder``."""
        return self._make_batches(self._sample_rows(rows), DISTILLATION_VIEWS, folder, progress)

    def _make_batches(
        self, rows: Sequence[SheetRow], count: int, folder: Path, progress: ProgressCallback
    ) -> DistillationBatches:
        """Make batches of ``count`` views of each row."""
        views = NoiseFreeViews(self._data.pairs(rows), self._data.channels, self._shape, seed=self._seed)
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

    def _rows_with_reference(self) -> list[int]:
        """Return the indices of the training rows that have a noise-free image.

        Raises:
            OutputError: there is none.
        """
        indices = [index for index, row in enumerate(self._data.rows_of(Subset.TRAIN)) if row.reference]
        if not indices:
            raise OutputError("no training row has a noise-free image; distillation needs them")
        return indices

    def _sample_rows(self, count: int) -> list[SheetRow]:
        """Sample training rows that have a noise-free image, from as many groups as possible."""
        rows, groups = self._data.rows_of(Subset.TRAIN), self._data.groups_of(Subset.TRAIN)
        indices = self._rows_with_reference()
        sample = sample_across_groups([groups[index] for index in indices], count, self._seed)
        return [rows[indices[place]] for place in sample]

    def _measure_step_times(
        self, student: StudentEncoder, denoiser: ClearDenoiser, cache: PairedImageCache
    ) -> StepTimes:
        """Measure the seconds of a step of each network, of a view and of denoising an image."""
        rows, rng = self._sample_rows(_TIMED_ROWS), np.random.default_rng(0)
        view, student_step = self._time_student(student, rows, rng)
        noisy = imaging.load_image(self._data.rows.sheet.resolve(rows[0].noisy), self._data.channels)
        return StepTimes(
            steps={"glance": student_step, "detail": self._time_detail_unet(denoiser, cache, rng)},
            view=view,
            measurement=time_call(lambda: denoise_tiled(denoiser, noisy)),
        )

    def _time_student(
        self, student: StudentEncoder, rows: Sequence[SheetRow], rng: np.random.Generator
    ) -> tuple[float, float]:
        """Measure the seconds of a view of a row and of a step of the student."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "seen"
            view = time_call(lambda: self._make_batches(rows, 2, folder, lambda *_: None)) / (2 * len(rows))
            batches = self._make_batches(rows, 2, folder, lambda *_: None)
            step = time_step(
                lambda network: StudentModule(
                    network,
                    estimate_feature_scales(batches.features[0]),
                    learning_rate=DISTILLATION_RATE / 100,
                    steps=1,
                ),
                student,
                lambda: batches.batch(rng),
                self._device,
            )
        return view, step

    def _time_detail_unet(self, denoiser: ClearDenoiser, cache: PairedImageCache, rng: np.random.Generator) -> float:
        """Measure the seconds of a step of the detail U-Net."""
        crop = crop_side(cache)
        global_encoder = copy.deepcopy(denoiser.global_encoder)  # a copy, since it moves to the device
        return time_step(
            lambda network: DetailUNetModule(
                network, global_encoder, learning_rate=DISTILLATION_RATE / 100, steps=1, crop=crop
            ),
            denoiser.detail,
            lambda: make_detail_batch(cache, crop, rng),
            self._device,
        )
