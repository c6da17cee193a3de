"""What was seen of a picture's noise, in words and units a person understands."""

from dataclasses import dataclass

import numpy as np

from clearcast.domain import NoiseType
from clearcast.models.clear.restorer import Seen
from clearcast.noise import Wave, strongest_wave


@dataclass(frozen=True, kw_only=True)
class NoiseEstimate:
    """The noise of one picture.

    Attributes:
        noise_type: the likeliest.
        probabilities: of every noise type, adding up to 1.
        sigma: standard deviation of grain on the 0..1 scale; several noises at once may each have a level.
        density: share of pixels struck by impulses, 0..1.
        wave: the strongest wave, see ``strongest_wave``; None where the picture has none to speak of.
    """

    noise_type: NoiseType
    probabilities: dict[NoiseType, float]
    sigma: float
    density: float
    wave: Wave | None

    @property
    def level(self) -> str:
        """The level of the likeliest noise, such as "standard deviation 25 grey levels"; empty without noise."""
        match self.noise_type:
            case NoiseType.GAUSSIAN:
                return f"standard deviation {255 * self.sigma:.0f} grey levels"
            case NoiseType.SALT_AND_PEPPER:
                return f"{100 * self.density:.1f}% of the pixels"
            case NoiseType.PERIODIC if self.wave:
                return (
                    f"amplitude {255 * self.wave.amplitude:.0f} grey levels, period {self.wave.period:.0f} pixels, "
                    f"orientation {self.wave.orientation:.0f} degrees"
                )
        return ""


def tell(seen: Seen, height: int, width: int) -> NoiseEstimate:
    """What was seen of one picture of (height, width) pixels; ``seen`` must be of a batch of one."""
    chances = seen.scores[0].softmax(dim=0).tolist()
    probabilities = dict(zip(NoiseType, chances, strict=True))
    sigma, density = (max(0.0, float(level)) for level in seen.levels[0])
    return NoiseEstimate(
        noise_type=max(probabilities, key=probabilities.__getitem__),
        probabilities=probabilities,
        sigma=sigma,
        density=min(density, 1.0),
        wave=strongest_wave(np.asarray(seen.waves[0, 0].cpu().numpy(), np.float32), height, width),
    )
