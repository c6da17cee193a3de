"""Training throughput of the published networks in images/s, compared with only decoding and resizing the images.

Run with nothing else on the machine::

    .venv/bin/python benchmarks/training_throughput.py Labels.xlsx
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from clearcast.core import imaging
from clearcast.core.decoding.image_info import Channels
from clearcast.data.images import ImageCache
from clearcast.data.sheet import read_sheet
from clearcast.nn.published import PublishedClassifier, PublishedDenoiser
from clearcast.train.datasets import (
    ClassDataset,
    PairDataset,
    make_denoising_targets,
    make_label_targets,
    make_noise_type_targets,
    training_loader,
)
from clearcast.train.modules import PublishedClassifierModule, PublishedDenoiserModule, TrainingModule
from clearcast.train.recipe import load_recipe, override_recipe
from clearcast.train.trainer import keep_freed_memory

WARM_UP = 10  # steps before the clock starts


def main() -> None:
    """Print images/s of each loop, and its ratio to decoding alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each loop runs")
    options = parser.parse_args()
    keep_freed_memory()
    recipe = override_recipe(load_recipe("report"), size=options.size)
    sheet = read_sheet(options.sheet)
    noise_targets, denoising_targets = make_noise_type_targets(sheet), make_denoising_targets(sheet)
    noisy, references = (
        ImageCache(paths, size=options.size, channels=Channels.RGB, budget=2**31)
        for paths in (denoising_targets.images, denoising_targets.references)
    )
    rows = range(len(sheet.rows))
    shape = {"size": options.size, "channels": 3, "activation": recipe.classifier.activation}
    classes = {
        "defect or ok": (make_label_targets(sheet), 2),
        "noise type": (noise_targets, len(noise_targets.classes)),
    }
    decoding = _measure_decoding(denoising_targets.images, options.size, options.seconds)
    print(f"{'decoding and resizing alone':32} {decoding:8.1f} images/s")
    for name, (targets, count) in classes.items():
        network = PublishedClassifier(classes=count, **shape)
        module = PublishedClassifierModule(network, learning_rate=1e-4, loss_on=recipe.classifier.loss_on)
        _print_throughput(name, module, ClassDataset(noisy, targets.targets, rows), options.seconds, decoding)
    denoiser = PublishedDenoiserModule(PublishedDenoiser(channels=3), learning_rate=1e-4)
    _print_throughput("denoiser", denoiser, PairDataset(noisy, references, rows), options.seconds, decoding)


def _measure_decoding(paths: Sequence[Path], size: int, seconds: float) -> float:
    """Decode and resize with one thread a core; return images/s."""
    start, done = time.perf_counter(), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while time.perf_counter() < start + seconds:
            for _ in pool.map(
                lambda path: imaging.resize_image(imaging.load_image(path, Channels.RGB), size, size), paths[:200]
            ):
                done += 1
    return done / (time.perf_counter() - start)


def _print_throughput(
    name: str, module: TrainingModule, dataset: ClassDataset | PairDataset, seconds: float, decoding: float
) -> None:
    rate = _measure_training(module, dataset, seconds)
    print(f"{'training: ' + name:32} {rate:8.1f} images/s, {rate / decoding:.2f} of decoding")


def _measure_training(module: TrainingModule, dataset: ClassDataset | PairDataset, seconds: float) -> float:
    """Train with batches of 5 images from memory, as Lightning does; return images/s."""
    optimizer = module.configure_optimizers()
    step = _make_training_step(module, optimizer)
    start, done, steps, epoch = 0.0, 0, 0, 0
    while True:
        for batch in training_loader(dataset, batch=5, seed=epoch):
            if steps == WARM_UP:
                start, done = time.perf_counter(), 0
            step(batch)
            steps, done = steps + 1, done + len(batch[0])
            if steps > WARM_UP and time.perf_counter() > start + seconds:
                return done / (time.perf_counter() - start)
        epoch += 1


def _make_training_step(
    module: TrainingModule, optimizer: torch.optim.Optimizer
) -> Callable[[tuple[torch.Tensor, torch.Tensor]], None]:
    def step(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(module.compute_metrics(batch)["loss"])
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
