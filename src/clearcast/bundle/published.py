"""The published networks of a study's run as a graph, and as what they say in PyTorch."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from clearcast import __version__, imaging
from clearcast.data.frames import LABELS
from clearcast.domain import Label, NoiseType, Subset
from clearcast.errors import OutputError
from clearcast.evaluation.evidence.contract import Evidence
from clearcast.evaluation.stage import Stage
from clearcast.evaluation.study.denoise import restored, without_depth
from clearcast.evaluation.study.folder import RunFolder, read_csv
from clearcast.imaging import Picture
from clearcast.log_odds import log_odds
from clearcast.models.clear.resample import area
from clearcast.models.report import ReportClassifier, ReportDenoiser
from clearcast.noise.telling import tell_noise
from clearcast.runtime.answers import Prediction
from clearcast.runtime.manifest import FORMAT, Trained
from clearcast.training.modules import to_float
from clearcast.training.recipe import Recipe, parse_recipe
from clearcast.training.weights import WEIGHTS, load_weights

_STAGES = (Stage.NOISE_TYPE, Stage.DENOISING, Stage.DENOISED)


@dataclass(frozen=True, kw_only=True)
class Published:
    """The networks of stages 2, 3 and 4, in evaluation mode; ``classes``: the noise types that the first knows."""

    recipe: Recipe
    classes: tuple[NoiseType, ...]
    noise: ReportClassifier
    denoiser: ReportDenoiser
    verdict: ReportClassifier


def load_published(run: RunFolder) -> Published:
    """Read the networks of a run.

    Raises:
        OutputError: a stage is not done, or its weights are damaged.
    """
    missing = [stage.value for stage in _STAGES if not run.is_done(stage)]
    if missing:
        raise OutputError(f"{run.path}: the study has not done {', '.join(missing)}; go on with it by --resume")
    recipe = parse_recipe(run.about["question"]["recipe"], str(run.path))
    result = run.result(Stage.NOISE_TYPE)
    assert result["kind"] == "classification"
    classes = tuple(NoiseType(name) for name in result["classes"])
    denoiser = ReportDenoiser(channels=recipe.input.channels.depth)
    load_weights(denoiser, run.stage(Stage.DENOISING))
    return Published(
        recipe=recipe,
        classes=classes,
        noise=_classifier(run, Stage.NOISE_TYPE, recipe, len(classes)),
        denoiser=denoiser.eval().requires_grad_(False),
        verdict=_classifier(run, Stage.DENOISED, recipe, len(LABELS)),
    )


@torch.inference_mode()
def ask_published(networks: Published, picture: Picture) -> Prediction:
    """Predict for one image, uint8 (height, width) or (height, width, 3), with the study's networks at their size."""
    size, depth = networks.recipe.input.size, networks.recipe.input.channels.depth
    noisy = imaging.resize(picture, size, size).reshape(1, size, size, depth)
    clean = restored(networks.denoiser, noisy)
    said = dict(zip(networks.classes, networks.noise(to_float(torch.from_numpy(noisy)))[0].tolist(), strict=True))
    chance = float(networks.verdict(to_float(torch.from_numpy(clean)))[0, LABELS.index(Label.DEFECT)])
    probabilities = [said.get(kind, 0.0) for kind in NoiseType]
    return Prediction(
        noise=tell_noise(probabilities, (0.0, 0.0), None, *picture.shape[:2]),
        has_noise_levels=False,
        p_defect=chance,
        log_odds=log_odds(chance),
        defect=chance > 0.5,
        denoised=imaging.resize(np.ascontiguousarray(without_depth(clean[0])), *picture.shape[:2]),
    )


class PublishedGraph(nn.Module):
    """Noise type, restored picture and verdict of it, by the published networks.

    Input ``pictures`` is uint8 (batch, height, width, depth), of any size: they are brought to the networks' own as
    ``imaging.resize`` does. Outputs: ``p_noise`` float32 (batch, 4) in the order of ``NoiseType``, 0 for types that the
    study did not know; ``restored`` uint8, enlarged to the input's shape; ``p_defect`` float32 (batch,).
    """

    inputs: tuple[str, ...] = ("pictures",)
    outputs: tuple[str, ...] = ("p_noise", "restored", "p_defect")

    def __init__(self, networks: Published) -> None:
        super().__init__()
        self.noise, self.denoiser, self.verdict = networks.noise, networks.denoiser, networks.verdict
        self.classes = networks.classes
        self.size = networks.recipe.input.size

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As said above."""
        height, width = pictures.shape[1:3]
        noisy = _resized(pictures.permute(0, 3, 1, 2).float(), self.size, self.size) / 255
        clean = self.denoiser(noisy).mul(255).round()
        said = self.noise(noisy)
        none = torch.zeros_like(said[:, 0])
        chances = [said[:, self.classes.index(kind)] if kind in self.classes else none for kind in NoiseType]
        enlarged = _resized(clean, height, width).permute(0, 2, 3, 1).to(torch.uint8)
        return torch.stack(chances, dim=1), enlarged, self.verdict(clean / 255)[:, LABELS.index(Label.DEFECT)]


def _resized(pictures: Tensor, height: int, width: int) -> Tensor:
    """Grey levels (batch, depth, h, w) as ``imaging.resize`` makes them of uint8 pixels, but for the last digit."""
    rows, columns = _count(pictures.shape[-2]), _count(pictures.shape[-1])
    tall, wide = _count(height), _count(width)
    shrinks, both = tall * wide < rows * columns, (tall <= rows) & (wide <= columns)
    down = _weights(pictures.shape[-2], height, shrinks, both, pictures)
    across = _weights(pictures.shape[-1], width, shrinks, both, pictures)
    scaled = down @ pictures @ across.T
    halves = (2 * tall == rows) & (2 * wide == columns)  # OpenCV rounds means of 2 x 2 pixels up, others to even
    return torch.where(halves, (scaled + 0.5).floor(), scaled.round())


def _weights(size: int, side: int, shrinks: Tensor, both: Tensor, like: Tensor) -> Tensor:
    """(side, size): OpenCV's means over areas, where areas shrink on one side only its variant, else linear."""
    wanted, scale = torch.arange(side, dtype=like.dtype), size / side
    linear = ((wanted + 0.5) * scale - 0.5).clamp(0, size - 1)
    whole = (wanted * scale).floor()
    part = (wanted + 1 - (whole + 1) / scale).clamp(min=0)
    variant = (whole + part - part.floor()).clamp(max=size - 1)
    places = torch.where(shrinks, variant, linear)
    near = (1 - (places[:, None] - torch.arange(size, dtype=like.dtype)).abs()).clamp(min=0)
    return torch.where(shrinks & both, area(size, side, like), near)


def _count(size: int) -> Tensor:
    """A size as a tensor, int64 (1,): an exported graph compares sizes as it runs."""
    return torch.arange(size)[-1:] + 1


def _classifier(run: RunFolder, stage: Stage, recipe: Recipe, classes: int) -> ReportClassifier:
    network = ReportClassifier(
        size=recipe.input.size,
        channels=recipe.input.channels.depth,
        classes=classes,
        activation=recipe.classifier.activation,
    )
    load_weights(network, run.stage(stage))
    return network.eval().requires_grad_(False)


def weights_of(run: RunFolder) -> dict[str, Path]:
    """The files of weights, by their names in a bundle."""
    return {f"{stage.value}.safetensors": run.stage(stage) / WEIGHTS for stage in _STAGES}


def trained_of(run: RunFolder, networks: Published) -> Trained:
    """What is known of the networks, for the manifest.

    Raises:
        OutputError: the run has no evidence yet.
    """
    evidence = run.path / "evidence.json"
    if not evidence.exists():
        raise OutputError(f"{run.path}: has no evidence.json; make it with 'clearcast report {run.path}'")
    about, split = run.about, read_csv(run.split)
    size = networks.recipe.input.size
    return {
        "format": FORMAT,
        "recipe": networks.recipe.name,
        "clearcast": str(about.get("clearcast", __version__)),
        "created": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "files": {},
        "trained_on": {
            "sheet": Path(str(about["sheet"])).name,
            "sheet_sha256": about["question"]["sheet_sha256"],
            "rows": {subset.value: int((split["split"] == subset.value).sum()) for subset in Subset},
            "split": about["split"],
            "parts": int(split["part"].nunique()),
            "parts_source": about["parts_source"],
            "channels": networks.recipe.input.channels.value,
            "shape": [size, size],
        },
        "effort": {
            "seed": about["question"]["seed"],
            "plan": {},
            "minutes": {},
            "device": "",
            "budget_minutes": None,
        },
        "judge": {"shape": [size, size], "temperature": 1.0, "threshold": 0.0, "crossfitted": False},
        "no_judge": None,
        "measured": cast(Evidence, json.loads(evidence.read_text(encoding="utf-8"))),
    }
