"""Temperature scaling: calibrate log-odds of defect with one number."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from clearcast.checks import require_finite

COLDEST, HOTTEST = 0.05, 20.0  # temperatures outside mean that there was too little data
_TOLERANCE = 1e-6  # of the logarithm of the temperature


def best_temperature(logits: NDArray[np.float64], defect: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    """Fit the temperature T that maximises the likelihood of the labels under sigmoid(logit / T).

    Guo et al. 2017, "On Calibration of Modern Neural Networks", with weighted images.

    Args:
        logits: log-odds of defect, shape (images,).
        defect: labels, shape (images,).
        weights: of the images, shape (images,).

    Returns:
        A temperature from 0.05 to 20; 1, which changes nothing, if a label is missing or every image is classified
        correctly: then the likelihood grows without bound as T falls.

    Raises:
        ModelOutputError: a log-odds is not finite.
    """
    require_finite("log-odds of defect", logits)
    if defect.all() or not defect.any() or ((logits > 0) == defect).all():
        return 1.0
    margins = np.where(defect, logits, -logits)
    shares = weights / weights.sum()

    def loss(log_temperature: float) -> float:
        return float(shares @ np.logaddexp(0, -margins / np.exp(log_temperature)))

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": _TOLERANCE})
    return float(np.exp(best.x))
