"""Denoising stage (3): train the denoiser, denoise every image of the sheet, measure the quality of the test rows."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from clearcast.core import imaging
from clearcast.core.console import show_progress
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import MissingDependencyError
from clearcast.core.evidence_schema import PUBLISHED_RESULTS, Stage
from clearcast.core.numbers import require_finite
from clearcast.data.images import ImageCache
from clearcast.metrics.image_quality import ImageQuality, measure_image_quality, summarize_quality_by_noise
from clearcast.metrics.lpips import LoadedLpips, Lpips
from clearcast.metrics.results import DenoisingResult, TrainingInfo
from clearcast.nn.published import PublishedDenoiser
from clearcast.nn.weights import load_weights
from clearcast.study.classify import training_record
from clearcast.study.context import StudyContext
from clearcast.train.datasets import PairDataset, evaluation_loader, training_loader
from clearcast.train.modules import PublishedDenoiserModule, images_to_float
from clearcast.train.trainer import TrainerConfig, fit_network

_BATCH = 16  # images, for predictions
_DECIMALS = 6

LoadLpips = Callable[[], LoadedLpips]


def run_denoising_stage(context: StudyContext, config: TrainerConfig, load_metric: LoadLpips) -> None:
    """Train the denoiser, write every denoised image, and save the stage's result."""
    context.refuse_leaks()
    settings = context.recipe.denoiser
    noisy, references = context.noisy, context.references
    torch.manual_seed(config.seed)
    network = PublishedDenoiser(channels=context.recipe.input.channels.depth)
    record = fit_network(
        PublishedDenoiserModule(network, learning_rate=settings.learning_rate),
        training_loader(PairDataset(noisy, references, context.train), batch=settings.batch, seed=config.seed),
        evaluation_loader(PairDataset(noisy, references, context.heldout)),
        context.folder.stage(Stage.DENOISING),
        settings=settings,
        title=Stage.DENOISING.heading,
        config=config,
    )
    _denoise_all(network, context)
    measure_denoising(context, training_record(network, context, noisy, record), load_metric)


def measure_denoising(context: StudyContext, training: TrainingInfo | None, load_metric: LoadLpips) -> None:
    """Measure the image quality of the test rows' denoised files, and save the stage's result.

    Args:
        context: the study's rows and images.
        training: record of the denoiser's training, for the result.
        load_metric: loads LPIPS; if it raises MissingDependencyError, the result has a note instead.
    """
    before, after, note = _measure_quality(context, load_metric)
    types = [str(context.sheet.rows[row].noise_type) for row in context.test]
    result: DenoisingResult = {
        "kind": "restoration",
        "title": Stage.DENOISING.heading,
        "noisy": summarize_quality_by_noise(before, types),
        "denoised": summarize_quality_by_noise(after, types),
        "published": PUBLISHED_RESULTS[Stage.DENOISING],
        "lpips_note": note,
        "training": training,
    }
    context.folder.save_stage(Stage.DENOISING, result, _quality_table(before, after, context))


def load_stage_denoiser(context: StudyContext) -> PublishedDenoiser:
    """Load the denoiser that stage 3 trained."""
    network = PublishedDenoiser(channels=context.recipe.input.channels.depth)
    load_weights(network, context.folder.stage(Stage.DENOISING))
    return network.eval()


@torch.no_grad()
def denoise_images(network: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Denoise images, uint8 (images, height, width, channels)."""
    pixels = network(images_to_float(torch.from_numpy(images)).contiguous())  # (images, channels, height, width)
    require_finite(
        "the denoiser's pixels", pixels.cpu().numpy(), "its training diverged; use a smaller --learning-rate"
    )
    return np.asarray(pixels.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), np.uint8)


def drop_grey_axis(image: ImageArray) -> ImageArray:
    """Drop the channel axis of a grey image; return a colour image as it is."""
    return image[..., 0] if image.shape[-1] == 1 else image


def _denoise_all(network: nn.Module, context: StudyContext) -> None:
    """Write every row's denoised image, including training rows, which stage 4 learns from."""
    network.eval()
    rows = context.sheet.rows
    with show_progress(context.console, "Denoising every image") as progress:
        for start in range(0, len(rows), _BATCH):
            batch = range(start, min(start + _BATCH, len(rows)))
            for row, image in zip(batch, denoise_images(network, context.noisy.batch(batch)), strict=True):
                imaging.save_image(context.folder.denoised(rows[row].number, rows[row].noisy), drop_grey_axis(image))
            progress(batch.stop, len(rows))


def _measure_quality(
    context: StudyContext, load_metric: LoadLpips
) -> tuple[list[ImageQuality], list[ImageQuality], str | None]:
    """Measure the test rows' noisy and denoised images; the note explains a missing LPIPS."""
    test = context.test
    with show_progress(context.console, "Measuring images") as progress:
        before = _measure_images(context.noisy, context.references, test)
        progress(len(test), 2 * len(test))
        after = _measure_images(context.denoised, context.references, test)
        progress(2 * len(test), 2 * len(test))
    try:
        loaded = load_metric()
    except MissingDependencyError as error:
        return before, after, str(error)
    with show_progress(context.console, "Measuring LPIPS") as progress:
        before = _add_lpips(loaded.metric, before, context.noisy, context.references, test)
        progress(len(test), 2 * len(test))
        after = _add_lpips(loaded.metric, after, context.denoised, context.references, test)
    return before, after, loaded.note


def _measure_images(images: ImageCache, references: ImageCache, rows: Sequence[int]) -> list[ImageQuality]:
    """Measure PSNR, SSIM and MSE of some rows' images."""

    def measure(row: int) -> ImageQuality:
        image, reference = (cache.batch([row])[0] for cache in (images, references))
        return measure_image_quality(drop_grey_axis(image), drop_grey_axis(reference))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(measure, rows))


def _add_lpips(
    metric: Lpips, measured: list[ImageQuality], images: ImageCache, references: ImageCache, rows: Sequence[int]
) -> list[ImageQuality]:
    """Add LPIPS to the measured qualities of some rows."""
    distances: list[float] = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        pixels = (images_to_float(torch.from_numpy(cache.batch(batch))) for cache in (images, references))
        shape = (len(batch), 3, -1, -1)  # a grey image is the same in all three channels
        distances += metric(*(each.expand(shape) for each in pixels)).tolist()
    return [replace(image, lpips=distance) for image, distance in zip(measured, distances, strict=True)]


def _quality_table(before: list[ImageQuality], after: list[ImageQuality], context: StudyContext) -> pd.DataFrame:
    """Make the table of the test rows' image quality."""
    rows = [context.sheet.rows[row] for row in context.test]
    table = pd.DataFrame({"row": [row.number for row in rows]})
    for name, images in (("noisy", before), ("denoised", after)):
        for measure in ("psnr", "ssim", "mse", "lpips"):
            table[f"{measure}_{name}"] = np.array([getattr(image, measure) for image in images], float).round(_DECIMALS)
    root = context.folder.path
    table["denoised"] = [context.folder.denoised(row.number, row.noisy).relative_to(root).as_posix() for row in rows]
    return table
