"""Benchmark entrants: denoisers, and classifiers that predict the probability of defect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from clearcast.errors import RecipeError
from clearcast.imaging import Channels, Picture
from clearcast.rivals import BM3D, CLASSICAL


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """A denoiser in the benchmark.

    Attributes:
        name: in tables and file names.
        denoise: from a uint8 image, (height, width) or (height, width, 3) by ``channels``, to one of the same shape.
        channels: how images are decoded for it; its result is measured in grey either way.
        version: identifies its weights; results of another version are measured again.
        untrained: whether it needs no training, so that a user who knows the noise type could choose it.
    """

    name: str
    denoise: Callable[[Picture], Picture]
    channels: Channels = Channels.GREY
    version: str = ""
    untrained: bool = False


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A classifier in the benchmark: predicts the probability of defect, 0..1, of a noisy image.

    The other attributes are those of ``Denoiser``.
    """

    name: str
    probability: Callable[[Picture], float]
    channels: Channels = Channels.GREY
    version: str = ""


NOISY = Denoiser(name="noisy", denoise=lambda image: image, untrained=True)


def parse_rivals(text: str) -> tuple[str, ...]:
    """Parse comma-separated names of classical baselines; an empty text means all, BM3D only if it is installed.

    Raises:
        RecipeError: an unknown name.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in CLASSICAL]
    if unknown:
        raise RecipeError(f"unknown baseline {unknown[0]!r}; expected {', '.join(CLASSICAL)}")
    return names or tuple(name for name in CLASSICAL if name != BM3D or find_spec(BM3D))


def classical(names: Sequence[str]) -> list[Denoiser]:
    """List the classical baselines of these names, see ``clearcast.rivals``; they get grey images."""
    return [Denoiser(name=name, denoise=CLASSICAL[name], untrained=True) for name in names]
