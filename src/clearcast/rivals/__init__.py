"""Baselines: classical denoisers, each a pure function of an image.

All take a uint8 image of shape (height, width) or (height, width, 3), see ``imaging``, and return one of the same
shape. They know neither the type nor the level of the noise. Their parameters were tuned on training images of
castings (the docstrings name the values that were tried), so that the comparison is fair.
"""

from clearcast.rivals.classical import BM3D, CLASSICAL, bm3d, median, non_local_means, wavelet
from clearcast.rivals.waves import notch

__all__ = ["BM3D", "CLASSICAL", "bm3d", "median", "non_local_means", "notch", "wavelet"]
