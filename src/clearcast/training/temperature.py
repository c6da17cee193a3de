"""One number that makes a judge's certainty true."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from clearcast.checks import require_finite

COLDEST, HOTTEST = 0.05, 20.0  # temperatures outside say that there was too little to learn from


def best_temperature(logits: NDArray[np.float64], defect: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    """The temperature T for which sigmoid(logit / T) is most likely.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", with images that weigh differently.

    Args:
        logits: log-odds of defect, shape (images,).
        defect: what is true, shape (images,).
        weights: how much each image counts, shape (images,).

    Returns:
        a temperature from 0.05 to 20; 1, which changes nothing, where a label is missing or no image is misjudged: then
        the likelihood grows without end as T falls, and nothing says how sure to be.

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

    best = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x))
