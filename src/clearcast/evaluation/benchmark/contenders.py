"""Who takes part: anything that restores an image, and anything that says how likely it shows a defect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from clearcast.errors import RecipeError
from clearcast.imaging import Channels, Picture
from clearcast.rivals import BM3D, CLASSICAL


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """Restores images.

    Attributes:
        name: what the table calls it.
        restore: from a uint8 image, (height, width) or (height, width, 3) by ``channels``, to one of the same shape.
        channels: how images are decoded for it; what it returns is measured in grey either way.
        version: differs where the same name stands for something else, such as other weights: what was measured of
            another version is measured again.
        by_hand: whether it needs no training, so that a user who knows the noise type could pick it.
    """

    name: str
    restore: Callable[[Picture], Picture]
    channels: Channels = Channels.GREY
    version: str = ""
    by_hand: bool = False


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Says the probability of defect, 0..1, of a noisy image; the other attributes are those of ``Denoiser``."""

    name: str
    probability: Callable[[Picture], float]
    channels: Channels = Channels.GREY
    version: str = ""


NOISY = Denoiser(name="noisy", restore=lambda image: image, by_hand=True)


def parse_rivals(text: str) -> tuple[str, ...]:
    """Read names with commas between them; nothing means all classical rivals, BM3D only where it is installed.

    Raises:
        RecipeError: an unknown name.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in CLASSICAL]
    if unknown:
        raise RecipeError(f"no rival {unknown[0]!r}; known are {', '.join(CLASSICAL)}")
    return names or tuple(name for name in CLASSICAL if name != BM3D or find_spec(BM3D))


def classical(names: Sequence[str]) -> list[Denoiser]:
    """The classical rivals of these names, see ``clearcast.rivals``; they get grey images."""
    return [Denoiser(name=name, restore=CLASSICAL[name], by_hand=True) for name in names]
