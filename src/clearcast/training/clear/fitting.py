"""Fit the denoiser: first the global encoder, on whole images; then the detail U-Net, on crops."""

import shutil
from pathlib import Path

import numpy as np
import torch

from clearcast.models.clear.resample import shrink
from clearcast.models.clear.restorer import Restorer
from clearcast.models.clear.waves import SIDE
from clearcast.training.clear.gallery import Gallery
from clearcast.training.clear.modules import DetailModule, SurveyModule
from clearcast.training.clear.steps import EPOCH, fixed_loader, step_loader
from clearcast.training.datasets import Batch
from clearcast.training.fit import Fitted, Surroundings, fit_network, is_fitted
from clearcast.training.recipe import Fit
from clearcast.training.synthesis import TYPES, Spoiled

SURVEY_BATCH = 8  # images
DETAIL_BATCH = 4  # images
CROPS = 4  # of each image
CROP = 160  # pixels a side, at most
_RATE = 2e-3  # learning rate
_HELDOUT = 4  # batches


def fit_restorer(
    restorer: Restorer,
    training: Gallery,
    heldout: Gallery,
    folder: Path,
    *,
    survey_steps: int,
    detail_steps: int,
    around: Surroundings,
) -> tuple[Fitted, Fitted]:
    """Fit global encoder and detail U-Net in subfolders of ``folder``; resumes an interrupted call.

    Args:
        restorer: fitted in place.
        training: images to learn from.
        heldout: images of the same shape, of other parts, which only show the progress.
        folder: for checkpoints.
        survey_steps, detail_steps: of each network, multiples of ``steps.EPOCH``.
        around: the seed, and where the work is shown.

    Raises:
        OutputError: a checkpoint is damaged.
        KeyboardInterrupt: the user stopped it.
    """
    if not is_fitted(folder / "survey"):  # a detail U-Net is fitted to its global encoder
        shutil.rmtree(folder / "detail", ignore_errors=True)
    survey = fit_network(
        SurveyModule(restorer.global_encoder, learning_rate=2e-3, steps=survey_steps),
        step_loader(lambda rng: survey_batch(training, rng), around.seed),
        fixed_loader(lambda rng: survey_batch(heldout, rng), around.seed, _HELDOUT),
        folder / "survey",
        settings=Fit(learning_rate=2e-3, batch=SURVEY_BATCH, epochs=survey_steps // EPOCH),
        title="Survey",
        config=around,
    )
    return survey, fit_detail(restorer, training, heldout, folder / "detail", steps=detail_steps, config=around)


def fit_detail(
    restorer: Restorer, training: Gallery, heldout: Gallery, folder: Path, *, steps: int, config: Surroundings
) -> Fitted:
    """Fit the detail U-Net to a fitted global encoder, in ``folder``; see ``fit_restorer``."""
    crop = crop_of(training)
    return fit_network(
        DetailModule(restorer.detail, restorer.global_encoder, learning_rate=_RATE, steps=steps, crop=crop),
        step_loader(lambda rng: detail_batch(training, crop, rng), config.seed),
        fixed_loader(lambda rng: detail_batch(heldout, crop, rng), config.seed, _HELDOUT),
        folder,
        settings=Fit(learning_rate=_RATE, batch=DETAIL_BATCH * CROPS, epochs=steps // EPOCH),
        title="Detail U-Net",
        config=config,
    )


def crop_of(gallery: Gallery) -> int:
    """Choose the side of the crops that the detail U-Net learns from, in pixels."""
    return min(CROP, *gallery.shape)


def survey_batch(gallery: Gallery, rng: np.random.Generator) -> Batch:
    """Make a batch for the global encoder; see ``SurveyModule``."""
    samples = [gallery.draw(rng) for _ in range(SURVEY_BATCH)]
    noisy, clean = _image_tensors(samples)
    waves = torch.stack([_shrunk_waves(sample) for sample in samples])
    kinds = torch.tensor([TYPES.index(sample.noise_type) for sample in samples])
    levels = torch.tensor([[_nan_if_unknown(level) for level in sample.levels.values()] for sample in samples])
    return noisy, clean, waves, kinds, levels


def detail_batch(gallery: Gallery, crop: int, rng: np.random.Generator) -> Batch:
    """Make a batch for the detail U-Net; see ``DetailModule``."""
    noisy, clean = _image_tensors([gallery.draw(rng) for _ in range(DETAIL_BATCH)])
    room = np.array(noisy.shape[1:3]) - crop
    return noisy, clean, torch.from_numpy(rng.integers(0, room + 1, (CROPS, 2)))


def _image_tensors(samples: list[Spoiled]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack noisy and noise-free images, each uint8 (batch, height, width, depth)."""
    noisy, clean = np.stack([each.noisy for each in samples]), np.stack([each.clean for each in samples])
    shape = (*noisy.shape[:3], -1)
    return torch.from_numpy(noisy.reshape(shape)), torch.from_numpy(clean.reshape(shape))


def _shrunk_waves(sample: Spoiled) -> torch.Tensor:
    """Shrink the periodic noise to (1, SIDE, SIDE); NaN if it is unknown."""
    if sample.waves is None:
        return torch.full((1, SIDE, SIDE), torch.nan)
    return shrink(torch.from_numpy(sample.waves)[None, None], SIDE, SIDE)[0]


def _nan_if_unknown(value: float | None) -> float:
    return torch.nan if value is None else value
