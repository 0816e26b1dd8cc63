"""Computes prediction intervals from the forest's two outputs; training calibrates them."""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

INTERVAL_SHARE = 0.8
"""Target share of ratings inside the interval: from the 10th to the 90th percentile."""
LOWEST, HIGHEST = 0.0, 5.0
_MIN_SPREAD = 0.05  # stars: the spread is 0 where all leaves agree, but no rating is that certain


class Calibration(BaseModel):
    """The interval is rating + `low` * spread to rating + `high` * spread; `low` is usually negative."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float


def spread_of(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Returns the standard deviation of the forest's leaves, in stars: between trees and within leaves.

    `scores` has shape (rows, 2): the mean rating and the mean square. The result has shape (rows,).
    """
    wide = scores.astype(np.float64, copy=False)
    return np.sqrt(np.maximum(wide[:, 1] - wide[:, 0] ** 2, _MIN_SPREAD**2))


def calibrate(scores: npt.NDArray[np.floating], ratings: npt.NDArray[np.float64]) -> Calibration:
    """Fits the percentiles of (rating - mean) / spread. `scores` must come from trees not trained on `ratings`."""
    residuals = (ratings - scores[:, 0]) / spread_of(scores)
    tail = (1 - INTERVAL_SHARE) / 2
    low, high = np.quantile(residuals, [tail, 1 - tail])
    return Calibration(low=float(low), high=float(high))


def interval_of(
    scores: npt.NDArray[np.floating], calibration: Calibration
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns (low, high), each of shape (rows,), with 0 <= low <= rating <= high <= 5."""
    spread, rating = spread_of(scores), scores[:, 0].astype(np.float64, copy=False)
    low = np.clip(np.minimum(rating + calibration.low * spread, rating), LOWEST, HIGHEST)
    high = np.clip(np.maximum(rating + calibration.high * spread, rating), LOWEST, HIGHEST)
    return low, high
