"""Noise estimate of one image from the outputs of the networks."""

from collections.abc import Sequence

import numpy as np

from clearcast.domain import NoiseType
from clearcast.models.clear.restorer import Seen
from clearcast.noise.estimation import NoiseEstimate, tell_noise


def tell(seen: Seen, height: int, width: int, noise_types: Sequence[NoiseType] = tuple(NoiseType)) -> NoiseEstimate:
    """Describe the noise of one image of (height, width) pixels; ``seen`` must be of a batch of one.

    ``noise_types`` are the classes of the network.
    """
    chances = seen.scores[0].softmax(dim=0).tolist()
    waves = np.asarray(seen.waves[0, 0].cpu().numpy(), np.float32)
    return tell_noise(chances, seen.levels[0].tolist(), waves, height, width, noise_types)
