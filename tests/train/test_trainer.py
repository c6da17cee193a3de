"""Fitting one network: weights, history, resuming and early stopping."""

import csv
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from safetensors.torch import load_file

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.core.files import find_image_files
from clearcast.data.images import ImageCache
from clearcast.nn.published import Activation, PublishedClassifier, PublishedDenoiser
from clearcast.train import trainer
from clearcast.train.datasets import ClassDataset, EpochSampler, PairDataset, evaluation_loader, training_loader
from clearcast.train.modules import PublishedClassifierModule, PublishedDenoiserModule, images_to_float
from clearcast.train.recipe import FitSettings, LossInput, load_recipe
from clearcast.train.trainer import FitRecord, TrainerConfig, fit_network

SIZE, ROWS = 32, 24


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageCache:
    """Alternating dark and bright images, whose class is easy to learn."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for row in range(ROWS):
        level = 60 + 120 * (row % 2)
        imaging.save_image(
            folder / f"{row:02}.png", rng.integers(level - 40, level + 40, (SIZE, SIZE, 3), dtype=np.uint8)
        )
    return ImageCache(find_image_files(folder), size=SIZE, channels=Channels.RGB, budget=10**8)


TARGETS = [row % 2 for row in range(ROWS)]
TRAIN, HELDOUT = list(range(16)), list(range(16, ROWS))


def settings(epochs: int, patience: int | None = None) -> FitSettings:
    recipe = load_recipe("report").classifier
    return recipe.model_copy(update={"epochs": epochs, "patience": patience, "learning_rate": 1e-3})


def fit_classifier(
    images: ImageCache, folder: Path, epochs: int, patience: int | None = None
) -> tuple[PublishedClassifier, FitRecord]:
    torch.manual_seed(3)
    network = PublishedClassifier(size=SIZE, channels=3, classes=2, activation=Activation.RELU)
    fitted = fit_network(
        PublishedClassifierModule(network, learning_rate=1e-3, loss_on=LossInput.LOGITS),
        training_loader(ClassDataset(images, TARGETS, TRAIN), batch=5, seed=3),
        evaluation_loader(ClassDataset(images, TARGETS, HELDOUT)),
        folder,
        settings=settings(epochs, patience),
        title="test",
        config=TrainerConfig(seed=3, console=Console(file=StringIO()), accelerator="cpu"),
    )
    return network, fitted


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_fit_learns_and_writes_weights_and_history(images: ImageCache, tmp_path: Path) -> None:
    network, fitted = fit_classifier(images, tmp_path, epochs=12)
    lines = history(tmp_path)
    assert fitted.epochs == len(lines) == 12
    assert [line["epoch"] for line in lines] == [str(epoch) for epoch in range(1, 13)]
    assert float(lines[-1]["heldout_accuracy"]) == 1
    weights = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())


def test_resumed_fit_equals_an_uninterrupted_one(
    images: ImageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, _ = fit_classifier(images, tmp_path / "straight", epochs=4)

    class Stop(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
            if trainer.current_epoch == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "ProgressLine", lambda *_: Stop())
        with pytest.raises(KeyboardInterrupt):
            fit_classifier(images, tmp_path / "stopped", epochs=4)
    assert len(history(tmp_path / "stopped")) == 2
    resumed, fitted = fit_classifier(images, tmp_path / "stopped", epochs=4)
    assert fitted.epochs == 4
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))
    for one, other in zip(history(tmp_path / "straight"), history(tmp_path / "stopped"), strict=True):
        assert {**one, "seconds": ""} == {**other, "seconds": ""}


def test_early_stopping_keeps_the_best_epoch(images: ImageCache, tmp_path: Path) -> None:
    network, fitted = fit_classifier(images, tmp_path, epochs=60, patience=2)
    losses = [float(line["heldout_loss"]) for line in history(tmp_path)]
    assert fitted.epochs == len(losses) < 60
    assert losses.index(min(losses)) == len(losses) - 3
    network.eval()
    with torch.no_grad():
        scores = network.logits(images_to_float(torch.from_numpy(images.batch(HELDOUT))))
    loss = torch.nn.functional.cross_entropy(scores, torch.tensor(TARGETS[16:]))
    assert float(loss) == pytest.approx(min(losses), rel=1e-4)


def test_denoiser_module_measures_mean_squared_error(images: ImageCache) -> None:
    module = PublishedDenoiserModule(PublishedDenoiser(channels=3), learning_rate=1e-4)
    batch = next(iter(evaluation_loader(PairDataset(images, images, HELDOUT))))
    denoised = module.network(images_to_float(batch[0])).detach().numpy()
    expected = np.mean((denoised - batch[1].numpy().transpose(0, 3, 1, 2) / 255) ** 2)
    assert float(module.compute_metrics(batch)["loss"].detach()) == pytest.approx(float(expected), rel=1e-5)


def test_literal_loss_is_the_cross_entropy_of_probabilities(images: ImageCache) -> None:
    network = PublishedClassifier(size=SIZE, channels=3, classes=2, activation=Activation.NONE).eval()
    module = PublishedClassifierModule(network, learning_rate=1e-4, loss_on=LossInput.PROBABILITIES)
    batch = next(iter(evaluation_loader(ClassDataset(images, TARGETS, HELDOUT))))
    p = network(images_to_float(batch[0])).detach().double().numpy()
    again = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)  # the loss applies a softmax of its own
    expected = -np.log(again[np.arange(len(p)), TARGETS[16:]]).mean()
    assert float(module.compute_metrics(batch)["loss"].detach()) == pytest.approx(float(expected), rel=1e-5)


def test_order_of_rows_depends_on_seed_and_epoch_alone() -> None:
    sampler = EpochSampler(20, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    again = EpochSampler(20, seed=1)
    again.set_epoch(1)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second == list(again)


def test_pixels_are_divided_by_255_and_nothing_else() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    assert torch.equal(images_to_float(pixels).flatten() * 255, torch.arange(256).float())
