"""Training of recipe clear: seeded batches, budgets, unknown targets, views of the classifier, learning rates."""

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning import Trainer
from torch.utils.data import DataLoader, TensorDataset

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.nn.backbone import Backbone
from clearcast.nn.denoiser import ClearDenoiser, denoise_tiled
from clearcast.noise.registry import NoiseType
from clearcast.train.datasets import EPOCH_STEPS, SeededStepDataset, TensorBatch
from clearcast.train.denoiser_training import AnnealedModule, GlobalEncoderModule
from clearcast.train.paired_images import CLASSIFIER_VIEWS, DenoisedViews, ImagePair, PairedImageCache, classifier_shape
from clearcast.train.training_budget import StepTimes, TrainingPlan, plan_training, time_training


@pytest.fixture
def pair(tmp_path: Path) -> ImagePair:
    noise_free = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)
    noisy = np.where(np.random.default_rng(0).random(noise_free.shape) < 0.1, 0, noise_free).astype(np.uint8)
    imaging.save_image(tmp_path / "clean.png", noise_free)
    imaging.save_image(tmp_path / "noisy.png", noisy)
    return ImagePair(
        noise_free=tmp_path / "clean.png", noisy=tmp_path / "noisy.png", noise_type=NoiseType.SALT_AND_PEPPER
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=8))
def test_batch_depends_on_its_step_alone(steps: list[int]) -> None:
    dataset = SeededStepDataset(lambda rng: (torch.tensor(rng.random()),), seed=3)
    for step in steps:
        assert float(dataset[step][0]) == pytest.approx(np.random.default_rng((3, step)).random())


@settings(max_examples=200, deadline=None)
@given(
    minutes=st.floats(2, 600),
    survey=st.floats(0.01, 5),
    detail=st.floats(0.01, 5),
    view_seconds=st.floats(0.001, 2),
    rows=st.integers(1, 5000),
    measured=st.integers(1, 1000),
)
def test_plan_uses_the_budget_and_no_more(
    minutes: float, survey: float, detail: float, view_seconds: float, rows: int, measured: int
) -> None:
    times = StepTimes(steps={"survey": survey, "detail": detail}, view=view_seconds, measurement=view_seconds)
    plan = plan_training(minutes, times, rows=rows, test_rows=measured)
    assert plan.survey % EPOCH_STEPS == plan.detail % EPOCH_STEPS == 0
    assert 2 <= plan.views <= CLASSIFIER_VIEWS
    classifier_rows = rows if plan.rows is None else plan.rows
    assert min(rows, 100) <= classifier_rows <= rows
    assert plan.views == 2 or classifier_rows == rows
    epochs = EPOCH_STEPS * (survey + detail)
    taken = plan.survey * survey + plan.detail * detail + (plan.views * classifier_rows + 3 * measured) * view_seconds
    least = epochs + (2 * min(rows, 100) + 3 * measured) * view_seconds
    assert taken <= max(60 * minutes, least) + epochs
    if 60 * minutes > least + epochs:
        assert taken >= 60 * minutes - epochs
    if classifier_rows < rows:  # views take no more than their share, if that is enough for the fewest rows
        assert classifier_rows == 100 or 2 * classifier_rows * view_seconds <= 0.25 * 60 * minutes


def test_step_times_are_measured_on_copies(pair: ImagePair) -> None:
    images = PairedImageCache([pair] * 3, Channels.GREY)
    denoiser = ClearDenoiser()
    before = {name: weights.clone() for name, weights in denoiser.state_dict().items()}
    times = time_training(denoiser, Backbone(), images, device=torch.device("cpu"))
    assert min(*times.steps.values(), times.view) > 0
    assert times.measurement == times.view
    assert all(torch.equal(before[name], weights) for name, weights in denoiser.state_dict().items())


@pytest.mark.parametrize(
    ("minutes", "plan"),
    [
        (2, TrainingPlan(survey=50, detail=100, views=2, rows=107)),
        (20, TrainingPlan(survey=950, detail=1200, views=2, rows=1146)),
        (600, TrainingPlan(survey=38700, detail=48000, views=4)),
    ],
)
def test_plans_of_known_budgets(minutes: float, plan: TrainingPlan) -> None:
    times = StepTimes(steps={"survey": 0.5, "detail": 0.33}, view=0.13, measurement=0.13)
    assert plan_training(minutes, times, rows=1500, test_rows=20) == plan


def test_unknown_targets_do_not_count_in_the_loss() -> None:
    torch.manual_seed(0)
    module = GlobalEncoderModule(ClearDenoiser().global_encoder, learning_rate=1e-3, steps=1)
    images = torch.randint(0, 256, (2, 64, 64, 1), dtype=torch.uint8)
    unknown, levels = torch.full((2, 1, 128, 128), torch.nan), torch.full((2, 2), torch.nan)
    measured = module.compute_metrics((images, images, unknown, torch.tensor([0, 1]), levels))
    assert measured["waves"] == 0
    assert torch.isfinite(measured["loss"])
    levels[1, 0], unknown[1] = 0.0, 0.25
    half = module.compute_metrics((images, images, unknown, torch.tensor([0, 1]), levels))
    assert half["waves"].item() == pytest.approx(0.25)  # the encoder finds no waves yet; the mean is over known ones
    assert half["loss"] > measured["loss"]


def test_classifier_views_are_denoised_and_noise_free_images(pair: ImagePair) -> None:
    torch.manual_seed(0)
    denoiser = ClearDenoiser().eval()
    make_view = DenoisedViews([pair], Channels.GREY, (64, 96), denoiser, seed=1)
    assert pair.noisy
    assert pair.noise_free
    noisy, noise_free = (imaging.load_image(path, Channels.GREY) for path in (pair.noisy, pair.noise_free))
    np.testing.assert_array_equal(make_view(0, 0), denoise_tiled(denoiser, noisy)[0])
    np.testing.assert_array_equal(make_view(0, 1), noise_free)
    for view in (2, 3, 4):
        augmented = make_view(0, view)
        assert augmented.shape == noise_free.shape
        assert (augmented != noise_free).any()
        np.testing.assert_array_equal(make_view(0, view), augmented)


def test_denoised_image_replaces_a_missing_noise_free_image(pair: ImagePair) -> None:
    torch.manual_seed(0)
    denoiser = ClearDenoiser().eval()
    assert pair.noisy
    make_view = DenoisedViews([replace(pair, noise_free=None)], Channels.GREY, (64, 96), denoiser, seed=1)
    denoised, _ = denoise_tiled(denoiser, imaging.load_image(pair.noisy, Channels.GREY))
    np.testing.assert_array_equal(make_view(0, 0), denoised)
    np.testing.assert_array_equal(make_view(0, 1), denoised)
    for view in (2, 3):
        assert (make_view(0, view) != denoised).any()


class RateRecorder(AnnealedModule):
    """Records the learning rate of each step."""

    def __init__(self, steps: int) -> None:
        super().__init__(torch.nn.Linear(1, 1), learning_rate=0.1, steps=steps)
        self.rates: list[float] = []

    def compute_metrics(self, batch: TensorBatch) -> dict[str, torch.Tensor]:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return {"loss": torch.as_tensor(self.network(batch[0])).square().mean()}


def test_the_learning_rate_rises_and_falls_along_half_a_cosine(tmp_path: Path) -> None:
    module = RateRecorder(steps=400)
    batches = DataLoader(TensorDataset(torch.ones(400, 1)), batch_size=1)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, batches)
    expected = [
        0.1 * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / 400)))
        for step in range(400)
    ]
    assert module.rates == pytest.approx(expected)


def test_classifier_shape_of_large_and_small_images() -> None:
    shapes = {(512, 512): (416, 416), (300, 200): (300, 200), (1024, 400): (832, 384), (385, 64): (384, 64)}
    assert {shape: classifier_shape(shape) for shape in shapes} == shapes
