"""The networks of a bundle as they are exported: from uint8 pictures of any size to answers, all within the graph.

What is said here of names, shapes and ranges is what whoever runs the graphs relies on.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearcast.bundle.networks import Distilled, Verdicts
from clearcast.models.clear.blocks import luma, to_unit
from clearcast.models.clear.resample import cubic
from clearcast.models.clear.restorer import STRIDE, Detail, Restorer, Seen, about_of


class ExportedModule(Protocol):
    """A network that can be exported; ``inputs`` and ``outputs`` are names."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def eval(self) -> nn.Module:
        """As any network of torch."""


class Place(NamedTuple):
    """Where a window lies: its first row or column, of ``full`` ones of the whole picture."""

    start: Tensor
    full: Tensor


class SurveyGraph(nn.Module):
    """Which noise and which waves a picture has.

    Input ``pictures`` is uint8 (batch, height, width, depth), sides from 16 pixels. Outputs: ``waves`` and ``small``,
    float32 (batch, 128, 128), see ``WaveFinder``; ``p_noise`` float32 (batch, types), probabilities in the order of
    the restorer's ``noise_types``; ``levels`` float32 (batch, levels), such as the standard deviation of grain and the
    density of impulses, 0..1; ``about`` float32 (batch, types + levels), what the detail graph is told of the noise.
    """

    inputs: tuple[str, ...] = ("pictures",)
    outputs: tuple[str, ...] = ("waves", "small", "p_noise", "levels", "about")

    def __init__(self, restorer: Restorer) -> None:
        super().__init__()
        self.survey = restorer.survey

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As said above."""
        seen: Seen = self.survey(luma(_to_float(pictures)))
        about = seen.about
        types = seen.scores.shape[1]
        return seen.waves[:, 0], seen.small[:, 0], about[:, :types], seen.levels.clamp(0, 1), about


class WavesGraph(nn.Module):
    """Which waves a picture has, where others tell its noise.

    Input ``pictures`` and outputs ``waves`` and ``small`` are those of ``SurveyGraph``.
    """

    inputs: tuple[str, ...] = ("pictures",)
    outputs: tuple[str, ...] = ("waves", "small")

    def __init__(self, restorer: Restorer) -> None:
        super().__init__()
        self.finder = restorer.survey.finder

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As said above."""
        waves, small, _ = self.finder(luma(_to_float(pictures)))
        return waves[:, 0], small[:, 0]


class DetailGraph(nn.Module):
    """A window of a picture, restored.

    Inputs: ``window`` uint8 (batch, h, w, depth), whose place in the picture is a multiple of 8 from above and from
    left; ``waves``, ``small`` and ``about`` of the whole picture, as ``SurveyGraph`` gives them, or ``WavesGraph`` and
    ``GlanceGraph``; ``place`` int64 (4,), the whole picture's height and width, and the window's first row and column.
    Output: ``restored``, uint8 of the window's shape.
    """

    inputs: tuple[str, ...] = ("window", "waves", "small", "about", "place")
    outputs: tuple[str, ...] = ("restored",)

    def __init__(self, restorer: Restorer) -> None:
        super().__init__()
        self.detail = restorer.detail

    def forward(self, window: Tensor, waves: Tensor, small: Tensor, about: Tensor, place: Tensor) -> Tensor:
        """As said above."""
        hints = torch.stack([waves, small], dim=1)
        rows, columns = Place(place[2], place[0]), Place(place[3], place[1])
        return _restored(self.detail, window, hints, about, (rows, columns))


class JudgeGraph(nn.Module):
    """The verdict on a restored picture.

    Input ``restored`` is uint8 (batch, height, width, depth). Outputs: ``p_defect`` float32 (batch,), the calibrated
    probability of defect; ``evidence`` float32 (batch, h, w), calibrated log-odds of defect by place, of 16 x 16 pixels
    of the judged size each.
    """

    inputs: tuple[str, ...] = ("restored",)
    outputs: tuple[str, ...] = ("p_defect", "evidence")

    def __init__(self, verdicts: Verdicts) -> None:
        super().__init__()
        self.network = verdicts.network
        self.temperature = verdicts.facts["temperature"]

    def forward(self, restored: Tensor) -> tuple[Tensor, ...]:
        """As said above."""
        said = self.network(_to_float(restored))
        return torch.sigmoid(said.logit / self.temperature), said.evidence / self.temperature


class GlanceGraph(nn.Module):
    """Noise type and verdict at a glance.

    Input ``pictures`` is uint8 (batch, height, width, depth). Outputs: ``p_noise``, ``levels`` and ``about`` as those
    of ``SurveyGraph``; ``wave`` float32 (batch, 3), see ``Glimpse.wave``; ``p_defect`` and ``evidence`` as those of
    ``JudgeGraph``, of the picture as it came.
    """

    inputs: tuple[str, ...] = ("pictures",)
    outputs: tuple[str, ...] = ("p_noise", "levels", "about", "wave", "p_defect", "evidence")

    def __init__(self, distilled: Distilled) -> None:
        super().__init__()
        self.network = distilled.network
        self.temperature = distilled.facts["temperature"]

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As said above."""
        said, glimpse = self.network(_planes(pictures))
        chance = torch.sigmoid(said.logit / self.temperature)
        about = about_of(glimpse.scores, glimpse.levels)
        return (
            about[:, : glimpse.scores.shape[1]],
            glimpse.levels,
            about,
            glimpse.wave,
            chance,
            said.evidence / self.temperature,
        )


def _restored(detail: Detail, window: Tensor, hints: Tensor, about: Tensor, places: tuple[Place, Place]) -> Tensor:
    """Restored pixels, uint8 (batch, h, w, depth).

    Args:
        detail: the network.
        window: uint8 (batch, h, w, depth).
        hints: waves and small picture of the whole, float (batch, 2, 128, 128).
        about: float (batch, types + levels).
        places: of the window's rows and of its columns.
    """
    height, width = window.shape[1:3]
    tall, wide = _filled_up(height), _filled_up(width)
    down, across = (
        cubic(hints.shape[-1], place.full, place.start + torch.arange(filled).clamp(max=size - 1), hints)
        for place, filled, size in zip(places, (tall, wide), (height, width), strict=True)
    )
    waves, small = (down @ hints @ across.T).chunk(2, dim=1)
    padded = functional.pad(_planes(window), (0, wide - width, 0, tall - height), mode="replicate")
    restored: Tensor = detail(padded, waves, small, about)
    levels = restored[..., :height, :width].clamp(0, 1).mul(255).round()
    pixels = levels.to(torch.uint8)
    return pixels.squeeze(1).unsqueeze(-1) if pixels.shape[1] == 1 else pixels.permute(0, 2, 3, 1)


def _filled_up(size: int) -> int:
    """The next multiple of ``STRIDE``, written so that an export can prove that it is one."""
    return STRIDE * ((size + STRIDE - 1) // STRIDE)


def _to_float(pictures: Tensor) -> Tensor:
    """Float (batch, depth, height, width) in 0..1 from uint8 (batch, height, width, depth)."""
    return to_unit(_planes(pictures))


def _planes(pictures: Tensor) -> Tensor:
    """(batch, depth, height, width) from (batch, height, width, depth).

    Grey pictures are not transposed: ONNX Runtime would push that through all that follows, and is slow at a last axis
    of one value.
    """
    return pictures.squeeze(-1).unsqueeze(1) if pictures.shape[-1] == 1 else pictures.permute(0, 3, 1, 2)
