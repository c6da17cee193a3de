"""The published networks of a study's run: their weights, predictions in PyTorch, and ONNX graph."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from clearcast.core import imaging
from clearcast.core.decoding.image_info import ImageArray
from clearcast.core.errors import OutputError
from clearcast.core.evidence_schema import Stage
from clearcast.core.numbers import log_odds
from clearcast.inference.prediction import Prediction
from clearcast.nn.blocks import area_matrix
from clearcast.nn.published import PublishedClassifier, PublishedDenoiser
from clearcast.nn.weights import load_weights, save_weights
from clearcast.noise import noise_types_with_level
from clearcast.noise.estimation import to_noise_estimate
from clearcast.noise.registry import NoiseType
from clearcast.study.denoise import denoise_images, drop_grey_axis
from clearcast.train.datasets import LABEL_CLASSES
from clearcast.train.modules import images_to_float
from clearcast.train.recipe import Recipe, parse_recipe
from clearcast.train.run_directory import RunDirectory
from clearcast.types import Label

_STAGES = (Stage.NOISE_TYPE, Stage.DENOISING, Stage.DENOISED)


@dataclass(frozen=True, kw_only=True)
class PublishedNetworks:
    """The networks of stages 2, 3 and 4, in evaluation mode; ``classes``: the noise types that ``noise`` predicts."""

    recipe: Recipe
    classes: tuple[NoiseType, ...]
    noise: PublishedClassifier
    denoiser: PublishedDenoiser
    verdict: PublishedClassifier


def load_published_networks(run: RunDirectory) -> PublishedNetworks:
    """Read the networks of a run.

    Raises:
        OutputError: a stage is not finished, or its weights are damaged.
    """
    missing = [stage.value for stage in _STAGES if not run.is_done(stage)]
    if missing:
        raise OutputError(f"{run.path}: the study has not finished {', '.join(missing)}; run it again with --resume")
    recipe = parse_recipe(run.metadata["question"]["recipe"], str(run.path))
    result = run.result(Stage.NOISE_TYPE)
    assert result["kind"] == "classification"
    classes = tuple(NoiseType(name) for name in result["classes"])
    denoiser = PublishedDenoiser(channels=recipe.input.channels.depth)
    load_weights(denoiser, run.stage(Stage.DENOISING))
    return PublishedNetworks(
        recipe=recipe,
        classes=classes,
        noise=_load_classifier(run, Stage.NOISE_TYPE, recipe, len(classes)),
        denoiser=denoiser.eval().requires_grad_(False),
        verdict=_load_classifier(run, Stage.DENOISED, recipe, len(LABEL_CLASSES)),
    )


def _load_classifier(run: RunDirectory, stage: Stage, recipe: Recipe, classes: int) -> PublishedClassifier:
    network = PublishedClassifier(
        size=recipe.input.size,
        channels=recipe.input.channels.depth,
        classes=classes,
        activation=recipe.classifier.activation,
    )
    load_weights(network, run.stage(stage))
    return network.eval().requires_grad_(False)


def save_published_networks(networks: PublishedNetworks, folder: Path) -> None:
    """Write the weights as safetensors."""
    for stage, network in zip(_STAGES, (networks.noise, networks.denoiser, networks.verdict), strict=True):
        save_weights(network, folder / f"{stage.value}.safetensors")


@torch.inference_mode()
def predict_published(networks: PublishedNetworks, image: ImageArray) -> Prediction:
    """Predict with the study's networks; ``image`` is uint8 (height, width) or (height, width, 3) of any size."""
    size, depth = networks.recipe.input.size, networks.recipe.input.channels.depth
    noisy = imaging.resize_image(image, size, size).reshape(1, size, size, depth)
    denoised = denoise_images(networks.denoiser, noisy)
    scores = networks.noise(images_to_float(torch.from_numpy(noisy)))[0].tolist()
    p_noise = dict(zip(networks.classes, scores, strict=True))
    p_defect = float(
        networks.verdict(images_to_float(torch.from_numpy(denoised)))[0, LABEL_CLASSES.index(Label.DEFECT)]
    )
    probabilities = [p_noise.get(kind, 0.0) for kind in NoiseType]
    return Prediction(
        noise=to_noise_estimate(probabilities, [0.0] * len(noise_types_with_level()), None, *image.shape[:2]),
        has_noise_levels=False,
        p_defect=p_defect,
        log_odds=log_odds(p_defect),
        defect=p_defect > 0.5,
        denoised=imaging.resize_image(np.ascontiguousarray(drop_grey_axis(denoised[0])), *image.shape[:2]),
    )


class PublishedGraph(nn.Module):
    """ONNX graph of the published networks: noise type, denoised image and its verdict.

    Input ``pictures`` is uint8 (batch, height, width, depth), of any size; they are resized to the networks' input as
    ``imaging.resize_image`` does. Outputs: ``p_noise`` float32 (batch, 4) in the order of ``NoiseType``, 0 for types
    that the study did not have; ``restored`` uint8, resized to the input's shape; ``p_defect`` float32 (batch,).
    """

    inputs: tuple[str, ...] = ("pictures",)
    outputs: tuple[str, ...] = ("p_noise", "restored", "p_defect")

    def __init__(self, networks: PublishedNetworks) -> None:
        super().__init__()
        self.noise, self.denoiser, self.verdict = networks.noise, networks.denoiser, networks.verdict
        self.classes = networks.classes
        self.size = networks.recipe.input.size

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the networks; see the class."""
        height, width = images.shape[1:3]
        noisy = _resize(images.permute(0, 3, 1, 2).float(), self.size, self.size) / 255
        denoised = self.denoiser(noisy).mul(255).round()
        scores = self.noise(noisy)
        zero = torch.zeros_like(scores[:, 0])
        p_noise = [scores[:, self.classes.index(kind)] if kind in self.classes else zero for kind in NoiseType]
        resized = _resize(denoised, height, width).permute(0, 2, 3, 1).to(torch.uint8)
        return torch.stack(p_noise, dim=1), resized, self.verdict(denoised / 255)[:, LABEL_CLASSES.index(Label.DEFECT)]


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    """Resize grey levels (batch, depth, h, w) as ``imaging.resize_image`` does, but for rounding."""
    rows, columns = _size_tensor(images.shape[-2]), _size_tensor(images.shape[-1])
    tall, wide = _size_tensor(height), _size_tensor(width)
    shrinks, both = tall * wide < rows * columns, (tall <= rows) & (wide <= columns)
    down = _resampling_matrix(images.shape[-2], height, shrinks, both, images)
    across = _resampling_matrix(images.shape[-1], width, shrinks, both, images)
    scaled = down @ images @ across.T
    halves = (2 * tall == rows) & (2 * wide == columns)  # OpenCV rounds means of 2 x 2 pixels up, others to even
    return torch.where(halves, (scaled + 0.5).floor(), scaled.round())


def _resampling_matrix(size: int, side: int, shrinks: Tensor, both: Tensor, like: Tensor) -> Tensor:
    """Make OpenCV's resampling matrix (side, size): area means, their variant if one side only shrinks, else linear."""
    targets, scale = torch.arange(side, dtype=like.dtype), size / side
    linear = ((targets + 0.5) * scale - 0.5).clamp(0, size - 1)
    whole = (targets * scale).floor()
    part = (targets + 1 - (whole + 1) / scale).clamp(min=0)
    variant = (whole + part - part.floor()).clamp(max=size - 1)
    positions = torch.where(shrinks, variant, linear)
    near = (1 - (positions[:, None] - torch.arange(size, dtype=like.dtype)).abs()).clamp(min=0)
    return torch.where(shrinks & both, area_matrix(size, side, like), near)


def _size_tensor(size: int) -> Tensor:
    """Return a size as an int64 tensor (1,), so that an exported graph can compare sizes at run time."""
    return torch.arange(size)[-1:] + 1
