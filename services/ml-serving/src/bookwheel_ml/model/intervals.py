"""Calibrates and computes prediction intervals from the forest's two outputs."""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

INTERVAL_COVERAGE = 0.8
"""Target share of ratings inside the interval: from the 10th to the 90th percentile."""
MIN_RATING, MAX_RATING = 0.0, 5.0
_MIN_SPREAD = 0.05  # stars; without it, an interval would be empty where all leaves agree


class Calibration(BaseModel):
    """The factors of the spread: an interval goes from rating + `low` * spread to rating + `high` * spread.

    `low` is usually negative.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float


def compute_spread(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Returns the standard deviation of the forest's leaves, in stars: between trees and within leaves.

    `scores` has shape (rows, 2): the mean rating and the mean square. The result has shape (rows,).
    """
    scores_64 = scores.astype(np.float64, copy=False)
    return np.sqrt(np.maximum(scores_64[:, 1] - scores_64[:, 0] ** 2, _MIN_SPREAD**2))


def calibrate(scores: npt.NDArray[np.floating], ratings: npt.NDArray[np.float64]) -> Calibration:
    """Fits the factors to the percentiles of (rating - mean) / spread.

    `scores` must come from trees that were not trained on `ratings`.
    """
    residuals = (ratings - scores[:, 0]) / compute_spread(scores)
    tail_share = (1 - INTERVAL_COVERAGE) / 2
    low, high = np.quantile(residuals, [tail_share, 1 - tail_share])
    return Calibration(low=float(low), high=float(high))


def compute_interval(
    scores: npt.NDArray[np.floating], calibration: Calibration
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns (low, high), each of shape (rows,), with 0 <= low <= rating <= high <= 5."""
    spread, rating = compute_spread(scores), scores[:, 0].astype(np.float64, copy=False)
    low = np.clip(np.minimum(rating + calibration.low * spread, rating), MIN_RATING, MAX_RATING)
    high = np.clip(np.maximum(rating + calibration.high * spread, rating), MIN_RATING, MAX_RATING)
    return low, high
