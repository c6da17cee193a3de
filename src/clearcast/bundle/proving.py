"""Proof that a bundle's graphs say in ONNX Runtime what its networks say in PyTorch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearcast.bundle.networks import Distilled, Networks, glance, judge, restored_by
from clearcast.checks import require_finite
from clearcast.domain import NoiseType
from clearcast.errors import OutputError
from clearcast.imaging import Picture
from clearcast.models.clear.restoring import restore
from clearcast.runtime.answers import Answers
from clearcast.runtime.golden import TOLERANCE
from clearcast.runtime.manifest import Parity
from clearcast.runtime.model import Model

_PIXELS = 1e-4  # share of a picture's pixels that may differ by more than one grey level
_SHAPES = ((64, 64), (65, 97), (211, 300), (600, 484))  # (height, width) of random pictures, in pixels
_SEED = 7
_CURE = "no bundle is written. Train again with another --seed"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What networks say of one picture.

    Attributes:
        p_noise: float (types,), probabilities in the order of ``noise_types``.
        levels: in the order of ``estimated_noises(noise_types)``, 0..1; None where they are not told.
        p_defect: calibrated, 0..1; None where there is no judge, and so ``defect``, the verdict.
        restored: uint8, of the picture's shape.
    """

    p_noise: NDArray[np.float64]
    levels: tuple[float, ...] | None
    p_defect: float | None
    defect: bool | None
    restored: Picture
    noise_types: tuple[NoiseType, ...] = tuple(NoiseType)


Ask = Callable[[Picture], Said]


def ask_networks(networks: Networks, picture: Picture) -> Said:
    """What recipe ``clear`` says in the laboratory of a picture, uint8 (height, width) or (height, width, 3)."""
    restored, seen = restore(networks.restorer, picture)
    judged = judge(networks.verdicts, restored) if networks.verdicts else None
    return Said(
        p_noise=seen.scores[0].double().softmax(dim=0).numpy(),
        levels=tuple(seen.levels[0].clamp(0, 1).tolist()),
        p_defect=float(1 / (1 + np.exp(-judged.logit))) if judged else None,
        defect=judged.defect if judged else None,
        restored=restored,
        noise_types=networks.restorer.noise_types,
    )


def ask_distilled(networks: Distilled, picture: Picture) -> Said:
    """What distilled networks say in the laboratory of a picture, uint8 (height, width) or (height, width, 3)."""
    said = glance(networks, picture)
    return Said(
        p_noise=np.array([*said.noise.probabilities.values()]),
        levels=tuple(said.noise.levels.values()),
        p_defect=float(1 / (1 + np.exp(-said.judged.logit))),
        defect=said.judged.defect,
        restored=restored_by(networks, picture, said.glimpse),
        noise_types=tuple(said.noise.probabilities),
    )


def prove(model: Model, in_tiles: Model | None, threshold: float | None, ask: Ask, real: Sequence[Picture]) -> Parity:
    """Compare what is said of real and of random pictures.

    Args:
        model: the graphs.
        in_tiles: the same, that sends every picture through in tiles; None where the bundle has no graphs for that.
        threshold: of ``p_defect``, above which the verdict is defect.
        ask: the laboratory's truth.
        real: pictures, uint8 (height, width) or (height, width, 3).

    Raises:
        OutputError: a verdict flips, or a probability or a restored picture differs by more than is allowed.
        ModelOutputError: the networks or the graphs give what is no probability.
    """
    found: Parity = {"pictures": 0, "flips": 0, "largest_difference": 0.0, "pixels_off": 0.0}
    for pictures, tiled in _trials(real, model.channels.depth, tiles=in_tiles is not None):
        answers = (in_tiles if tiled and in_tiles else model).answer(np.stack([_deep(each) for each in pictures]))
        for place, picture in enumerate(pictures):
            _compare(ask(picture), answers, place, threshold, found)
    _refuse(found)
    return found


def random_pictures(depth: int) -> list[Picture]:
    """Pictures of several odd sizes, two of each: grain of any strength upon soft shapes; the same each time."""
    rng = np.random.default_rng(_SEED)
    return [_random(rng, *shape, depth) for shape in _SHAPES for _ in range(2)]


def _random(rng: np.random.Generator, height: int, width: int, depth: int) -> Picture:
    down, across = np.mgrid[:height, :width] / 40
    soft = 128 + 60 * np.sin(down * rng.uniform(0.5, 2)) + 60 * np.cos(across * rng.uniform(0.5, 2))
    noisy = soft[..., None] + rng.normal(0, rng.uniform(0, 60), (height, width, depth))
    picture = np.asarray(noisy.round().clip(0, 255), np.uint8)
    return picture[..., 0] if depth == 1 else picture


def _trials(real: Sequence[Picture], depth: int, *, tiles: bool) -> Iterator[tuple[list[Picture], bool]]:
    """Batches of pictures of one size, and whether they are to go through in tiles."""
    drawn = random_pictures(depth)
    yield from (([picture], False) for picture in real)
    yield from ((drawn[place : place + 2], False) for place in range(0, len(drawn), 2))
    if tiles:
        yield drawn[-1:], True


def _deep(picture: Picture) -> Picture:
    return picture.reshape(*picture.shape[:2], -1)


def _compare(said: Said, answers: Answers, place: int, threshold: float | None, found: Parity) -> None:
    """Add what differs to ``found``."""
    require_finite("the networks' probabilities in PyTorch", [*said.p_noise, said.p_defect or 0.0], _CURE)
    differences = [float(np.abs(said.p_noise - answers.p_noise[place]).max())]
    if said.p_defect is not None:
        assert answers.p_defect is not None
        assert threshold is not None
        chance = float(answers.p_defect[place])
        differences.append(abs(said.p_defect - chance))
        found["flips"] += (chance > threshold) != said.defect
    assert answers.restored is not None
    off = np.abs(_deep(said.restored).astype(int) - answers.restored[place].astype(int)) > 1
    found["pictures"] += 1
    found["largest_difference"] = float(np.max([found["largest_difference"], *differences]))  # NaN stays, unlike in max
    found["pixels_off"] = float(np.max([found["pixels_off"], off.mean()]))


def _refuse(found: Parity) -> None:
    if found["flips"]:
        raise OutputError(
            f"{found['flips']} of {found['pictures']} verdicts flip between PyTorch and ONNX Runtime, also if their "
            f"probabilities lie at the very threshold; {_CURE}"
        )
    if not (found["largest_difference"] <= TOLERANCE and found["pixels_off"] <= _PIXELS):
        raise OutputError(
            f"ONNX Runtime differs from PyTorch: probabilities by {found['largest_difference']:.2g} (allowed "
            f"{TOLERANCE:g}), {found['pixels_off']:.2%} of a picture's pixels by more than one grey level (allowed "
            f"{_PIXELS:.2%}); no bundle is written. Install the tested versions (constraints.txt) and try again"
        )
