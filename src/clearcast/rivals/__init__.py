"""What a user would try before anything learned: classical denoisers, each a pure function of a picture.

All take a uint8 picture of shape (height, width) or (height, width, 3), see ``imaging``, return one of the same shape,
and are told neither the type nor the level of the noise. Their settings were tried on training pictures of castings
(the docstrings name them), so that they stand here as strong as they are.
"""

from clearcast.rivals.classical import BM3D, CLASSICAL, bm3d, median, non_local_means, wavelet
from clearcast.rivals.waves import notch

__all__ = ["BM3D", "CLASSICAL", "bm3d", "median", "non_local_means", "notch", "wavelet"]
