"""What the survey saw of a picture's noise, in words and units a person understands."""

import numpy as np

from clearcast.models.clear.restorer import Seen
from clearcast.noise.telling import NoiseEstimate, tell_noise


def tell(seen: Seen, height: int, width: int) -> NoiseEstimate:
    """What was seen of one picture of (height, width) pixels; ``seen`` must be of a batch of one."""
    chances = seen.scores[0].softmax(dim=0).tolist()
    waves = np.asarray(seen.waves[0, 0].cpu().numpy(), np.float32)
    return tell_noise(chances, seen.levels[0].tolist(), waves, height, width)
