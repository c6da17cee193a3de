"""Stage 3: train the denoiser, let it clean every picture of the sheet, measure what it made of the test rows."""

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
_BATCH = 16  # pictures at a time where nothing is learned


def run_denoising(material: Material, around: Surroundings, load_metric: LoadMetric) -> None:
    """Train the denoiser, keep what it makes of every picture, and keep the measures of the test rows."""
    material.refuse_leaks()
    settings = material.recipe.denoiser
    noisy, references = material.noisy, material.references
    torch.manual_seed(around.seed)
    network = ReportDenoiser(channels=material.recipe.input.channels.depth)
    fitted = fit_network(
        DenoiserModule(network, learning_rate=settings.learning_rate),
        training_loader(PairDataset(noisy, references, material.train), batch=settings.batch, seed=around.seed),
        ordered_loader(PairDataset(noisy, references, material.heldout)),
        material.folder.stage(Stage.DENOISING),
        settings=settings,
        title=Stage.DENOISING.heading,
        around=around,
    )
    _denoise_all(network, material)
    measure_denoising(material, training_record(network, material, noisy, fitted), load_metric)


def measure_denoising(material: Material, training: Training | None, load_metric: LoadMetric) -> None:
    """Measure the test rows' denoised pictures as they were written, and keep the result.

    Args:
        material: the study's rows and pictures.
        training: how the denoiser was trained, for the result.
        load_metric: gives LPIPS, or raises MissingDependencyError, which becomes a note and no failure.
    """
    before, after, note = _measure(material, load_metric)
    types = [str(material.sheet.rows[row].noise_type) for row in material.test]
    result: RestorationStage = {
        "kind": "restoration",
        "title": Stage.DENOISING.heading,
        "noisy": summarize_by_noise(before, types),
        "denoised": summarize_by_noise(after, types),
        "published": PUBLISHED[Stage.DENOISING],
        "lpips_note": note,
        "training": training,
    }
    material.folder.save(Stage.DENOISING, result, _predictions(before, after, material))


def load_denoiser(material: Material) -> ReportDenoiser:
    """The denoiser that stage 3 trained."""
    network = ReportDenoiser(channels=material.recipe.input.channels.depth)
    load_weights(network, material.folder.stage(Stage.DENOISING))
    return network.eval()


@torch.no_grad()
def restored(network: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a denoiser makes of pictures: uint8 (pictures, height, width, channels), as they came."""
    clean = network(to_float(torch.from_numpy(pictures)).contiguous())
    require_finite("the denoiser's pixels", clean.cpu().numpy(), "its training diverged; try a smaller --learning-rate")
    return np.asarray(clean.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), np.uint8)


def without_depth(picture: Picture) -> Picture:
    """A grey picture as (height, width), a colour picture as it is."""
    return picture[..., 0] if picture.shape[-1] == 1 else picture


def _denoise_all(network: nn.Module, material: Material) -> None:
    """Write every row's denoised picture, also those of training rows: stage 4 learns from them."""
    network.eval()
    rows = material.sheet.rows
    with progress_bar(material.console, "Denoising every picture") as progress:
        for start in range(0, len(rows), _BATCH):
            batch = range(start, min(start + _BATCH, len(rows)))
            for row, picture in zip(batch, restored(network, material.noisy.batch(batch)), strict=True):
                imaging.save(material.folder.denoised(rows[row].number, rows[row].noisy), without_depth(picture))
            progress(batch.stop, len(rows))


def _measure(material: Material, load_metric: LoadMetric) -> tuple[list[Fidelity], list[Fidelity], str | None]:
    """Measures of the test rows' noisy and denoised pictures, and why LPIPS is not among them, if it is not."""
    test = material.test
    with progress_bar(material.console, "Measuring pictures") as progress:
        before = _fidelities(material.noisy, material.references, test)
        progress(len(test), 2 * len(test))
        after = _fidelities(material.denoised, material.references, test)
        progress(2 * len(test), 2 * len(test))
    try:
        loaded = load_metric()
    except MissingDependencyError as error:
        return before, after, str(error)
    with progress_bar(material.console, "Measuring LPIPS") as progress:
        before = _with_lpips(loaded.metric, before, material.noisy, material.references, test)
        progress(len(test), 2 * len(test))
        after = _with_lpips(loaded.metric, after, material.denoised, material.references, test)
    return before, after, loaded.note


def _fidelities(pictures: PictureStore, references: PictureStore, rows: Sequence[int]) -> list[Fidelity]:
    def measure(row: int) -> Fidelity:
        picture, reference = (store.batch([row])[0] for store in (pictures, references))
        return fidelity(without_depth(picture), without_depth(reference))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(measure, rows))


def _with_lpips(
    metric: Lpips, images: list[Fidelity], pictures: PictureStore, references: PictureStore, rows: Sequence[int]
) -> list[Fidelity]:
    distances: list[float] = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        pair = (to_float(torch.from_numpy(store.batch(batch))) for store in (pictures, references))
        shape = (len(batch), 3, -1, -1)  # a grey picture is the same in all three channels
        distances += metric(*(pixels.expand(shape) for pixels in pair)).tolist()
    return [replace(image, lpips=distance) for image, distance in zip(images, distances, strict=True)]


def _predictions(before: list[Fidelity], after: list[Fidelity], material: Material) -> pd.DataFrame:
    rows = [material.sheet.rows[row] for row in material.test]
    table = pd.DataFrame({"row": [row.number for row in rows]})
    for name, images in (("noisy", before), ("denoised", after)):
        for measure in ("psnr", "ssim", "mse", "lpips"):
            table[f"{measure}_{name}"] = np.array([getattr(image, measure) for image in images], float).round(6)
    root = material.folder.path
    table["denoised"] = [material.folder.denoised(row.number, row.noisy).relative_to(root).as_posix() for row in rows]
    return table
