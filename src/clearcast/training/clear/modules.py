"""What a step of fitting the restorer is."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.models.clear.blocks import luma
from clearcast.models.clear.resample import shrink
from clearcast.models.clear.restorer import Detail, Survey, enlarge_seen
from clearcast.models.clear.waves import SIDE
from clearcast.training.datasets import Batch
from clearcast.training.modules import FitModule, to_float

_WARMUP = 100  # steps
_LAST = 0.02  # of the learning rate
_TYPE, _LEVEL = 0.02, 0.2  # weights of losses beside that of the pictures
_STEP_FLOOR = 1e-5  # mean squared error below which a crop counts no more: 50 dB


class AnnealedModule(FitModule):
    """AdamW whose learning rate rises over the first steps and falls along half a cosine to the planned last one."""

    own_batches = True

    def __init__(self, network: nn.Module, *, learning_rate: float, steps: int) -> None:
        super().__init__(network, learning_rate=learning_rate)
        self.steps = steps

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Called by Lightning."""
        return torch.optim.AdamW(self.network.parameters(), lr=self.learning_rate, weight_decay=1e-4, fused=True)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Called by Lightning: the step alone decides its learning rate, also after a stop."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.learning_rate * self._share(self.global_step)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: object, **__: object) -> None:
        """Called by Lightning: rare pictures must not throw the weights off."""
        parameters = [value for group in optimizer.param_groups for value in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)

    def _share(self, step: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1)))
        return min(1.0, (step + 1) / _WARMUP) * (_LAST + (1 - _LAST) * cosine)


class SurveyModule(AnnealedModule):
    """Fits the survey: waves and small picture by mean absolute error, noise type by cross-entropy, levels.

    A batch is: noisy and clean, uint8 (batch, height, width, depth); waves, float (batch, 1, SIDE, SIDE), NaN where not
    known; noise types, int64 (batch,); levels, float (batch, 2), NaN where not known.
    """

    network: Survey

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, the accuracy of the noise type, and the mean absolute error of the waves where known."""
        noisy, clean, waves, kinds, levels = batch
        seen = self.network(luma(self.inputs(noisy)))
        small = shrink(luma(to_float(clean)), SIDE, SIDE)
        loss = mean_difference(seen.waves, waves) + (seen.small - small).abs().mean()
        loss = loss + _TYPE * functional.cross_entropy(seen.scores, kinds)
        loss = loss + _LEVEL * mean_difference(seen.levels, levels)
        accuracy = (seen.scores.argmax(dim=1) == kinds).float().mean()
        return {"loss": loss, "noise_type": accuracy, "waves": mean_difference(seen.waves, waves)}


class DetailModule(AnnealedModule):
    """Fits the detail network on crops, by the logarithm of the mean squared error, which is PSNR.

    A batch is: noisy and clean, uint8 (batch, height, width, depth); the corners of the crops that are cut from each,
    int64 (crops, 2), in pixels.

    Args:
        survey: fitted; it is not changed.
        crop: pixels a side.
    """

    memory_format = torch.channels_last
    network: Detail

    def __init__(self, network: Detail, survey: Survey, *, learning_rate: float, steps: int, crop: int) -> None:
        super().__init__(network, learning_rate=learning_rate, steps=steps)
        self.survey = survey.eval().requires_grad_(False)
        self.crop = crop

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """The loss and PSNR in dB, a mean over crops."""
        noisy, clean, corners = batch
        pictures, wanted = self.inputs(noisy), to_float(clean)
        with torch.no_grad():
            seen = self.survey(luma(pictures))
            waves, small = enlarge_seen(seen, *pictures.shape[-2:])
        cut = [self._crops(picture, corners) for picture in (pictures, waves, small)]
        restored = self.network(*cut, seen.about.repeat(len(corners), 1))
        error = (restored - self._crops(wanted, corners)).square().mean(dim=(1, 2, 3))
        loss = (error + _STEP_FLOOR).log10().mean()
        return {"loss": loss, "psnr": -10 * error.detach().clamp(min=1e-10).log10().mean()}

    def share(self, batch: Batch, number: int, total: int) -> Batch:
        """All crops of a share of the pictures."""
        noisy, clean, corners = batch
        return *super().share((noisy, clean), number, total), corners

    def _crops(self, pictures: Tensor, corners: Tensor) -> Tensor:
        cut = [pictures[..., y : y + self.crop, x : x + self.crop] for y, x in corners.tolist()]
        return torch.cat(cut).contiguous(memory_format=self.memory_format)


def _known(target: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
    """The target with what is said in place of what is not known (NaN), and how many values are known."""
    unknown = target.isnan()
    return torch.where(unknown, said.detach(), target), (~unknown).sum().clamp(min=1)


def mean_difference(said: Tensor, target: Tensor) -> Tensor:
    """The mean absolute difference where the target is known (not NaN)."""
    known, count = _known(target, said)
    return (said - known).abs().sum() / count
