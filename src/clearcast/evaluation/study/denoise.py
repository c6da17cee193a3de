"""Denoising stage (3): train the denoiser, denoise every image of the sheet, measure the quality of the test rows."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from clearcast import imaging
from clearcast.checks import require_finite
from clearcast.data.pictures import PictureStore
from clearcast.errors import MissingDependencyError
from clearcast.evaluation.fidelity import Fidelity, fidelity, summarize_by_noise
from clearcast.evaluation.perceptual import LoadedLpips, Lpips
from clearcast.evaluation.results import RestorationStage, Training
from clearcast.evaluation.stage import PUBLISHED, Stage
from clearcast.evaluation.study.classify import training_record
from clearcast.evaluation.study.material import Material
from clearcast.imaging import Picture
from clearcast.models.report import ReportDenoiser
from clearcast.progress import progress_bar
from clearcast.training.datasets import PairDataset, ordered_loader, training_loader
from clearcast.training.fit import Surroundings, fit_network
from clearcast.training.modules import DenoiserModule, to_float
from clearcast.training.weights import load_weights

LoadMetric = Callable[[], LoadedLpips]
_BATCH = 16  # images, for predictions
_DECIMALS = 6


def run_denoising(context: Material, config: Surroundings, load_metric: LoadMetric) -> None:
    """Train the denoiser, write every denoised image, and save the stage's result."""
    context.refuse_leaks()
    settings = context.recipe.denoiser
    noisy, references = context.noisy, context.references
    torch.manual_seed(config.seed)
    network = ReportDenoiser(channels=context.recipe.input.channels.depth)
    fitted = fit_network(
        DenoiserModule(network, learning_rate=settings.learning_rate),
        training_loader(PairDataset(noisy, references, context.train), batch=settings.batch, seed=config.seed),
        ordered_loader(PairDataset(noisy, references, context.heldout)),
        context.folder.stage(Stage.DENOISING),
        settings=settings,
        title=Stage.DENOISING.heading,
        config=config,
    )
    _denoise_all(network, context)
    measure_denoising(context, training_record(network, context, noisy, fitted), load_metric)


def measure_denoising(context: Material, training: Training | None, load_metric: LoadMetric) -> None:
    """Measure the image quality of the test rows' denoised files, and save the stage's result.

    Args:
        context: the study's rows and images.
        training: record of the denoiser's training, for the result.
        load_metric: loads LPIPS; if it raises MissingDependencyError, the result has a note instead.
    """
    before, after, note = _measure_quality(context, load_metric)
    types = [str(context.sheet.rows[row].noise_type) for row in context.test]
    result: RestorationStage = {
        "kind": "restoration",
        "title": Stage.DENOISING.heading,
        "noisy": summarize_by_noise(before, types),
        "denoised": summarize_by_noise(after, types),
        "published": PUBLISHED[Stage.DENOISING],
        "lpips_note": note,
        "training": training,
    }
    context.folder.save(Stage.DENOISING, result, _predictions(before, after, context))


def load_denoiser(context: Material) -> ReportDenoiser:
    """Load the denoiser that stage 3 trained."""
    network = ReportDenoiser(channels=context.recipe.input.channels.depth)
    load_weights(network, context.folder.stage(Stage.DENOISING))
    return network.eval()


@torch.no_grad()
def restored(network: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Denoise images, uint8 (images, height, width, channels)."""
    pixels = network(to_float(torch.from_numpy(images)).contiguous())  # (images, channels, height, width)
    require_finite(
        "the denoiser's pixels", pixels.cpu().numpy(), "its training diverged; use a smaller --learning-rate"
    )
    return np.asarray(pixels.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), np.uint8)


def without_depth(image: Picture) -> Picture:
    """Drop the channel axis of a grey image; return a colour image as it is."""
    return image[..., 0] if image.shape[-1] == 1 else image


def _denoise_all(network: nn.Module, context: Material) -> None:
    """Write every row's denoised image, including training rows, which stage 4 learns from."""
    network.eval()
    rows = context.sheet.rows
    with progress_bar(context.console, "Denoising every image") as progress:
        for start in range(0, len(rows), _BATCH):
            batch = range(start, min(start + _BATCH, len(rows)))
            for row, image in zip(batch, restored(network, context.noisy.batch(batch)), strict=True):
                imaging.save(context.folder.denoised(rows[row].number, rows[row].noisy), without_depth(image))
            progress(batch.stop, len(rows))


def _measure_quality(context: Material, load_metric: LoadMetric) -> tuple[list[Fidelity], list[Fidelity], str | None]:
    """Measure the test rows' noisy and denoised images; the note explains a missing LPIPS."""
    test = context.test
    with progress_bar(context.console, "Measuring images") as progress:
        before = _fidelities(context.noisy, context.references, test)
        progress(len(test), 2 * len(test))
        after = _fidelities(context.denoised, context.references, test)
        progress(2 * len(test), 2 * len(test))
    try:
        loaded = load_metric()
    except MissingDependencyError as error:
        return before, after, str(error)
    with progress_bar(context.console, "Measuring LPIPS") as progress:
        before = _with_lpips(loaded.metric, before, context.noisy, context.references, test)
        progress(len(test), 2 * len(test))
        after = _with_lpips(loaded.metric, after, context.denoised, context.references, test)
    return before, after, loaded.note


def _fidelities(images: PictureStore, references: PictureStore, rows: Sequence[int]) -> list[Fidelity]:
    def measure(row: int) -> Fidelity:
        image, reference = (store.batch([row])[0] for store in (images, references))
        return fidelity(without_depth(image), without_depth(reference))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(measure, rows))


def _with_lpips(
    metric: Lpips, measured: list[Fidelity], images: PictureStore, references: PictureStore, rows: Sequence[int]
) -> list[Fidelity]:
    distances: list[float] = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        pair = (to_float(torch.from_numpy(store.batch(batch))) for store in (images, references))
        shape = (len(batch), 3, -1, -1)  # a grey image is the same in all three channels
        distances += metric(*(pixels.expand(shape) for pixels in pair)).tolist()
    return [replace(image, lpips=distance) for image, distance in zip(measured, distances, strict=True)]


def _predictions(before: list[Fidelity], after: list[Fidelity], context: Material) -> pd.DataFrame:
    rows = [context.sheet.rows[row] for row in context.test]
    table = pd.DataFrame({"row": [row.number for row in rows]})
    for name, images in (("noisy", before), ("denoised", after)):
        for measure in ("psnr", "ssim", "mse", "lpips"):
            table[f"{measure}_{name}"] = np.array([getattr(image, measure) for image in images], float).round(_DECIMALS)
    root = context.folder.path
    table["denoised"] = [context.folder.denoised(row.number, row.noisy).relative_to(root).as_posix() for row in rows]
    return table
