"""From the forest's two outputs to an interval. Used at training to calibrate, and at serving."""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

INTERVAL_SHARE = 0.8
"""Share of ratings that the interval is to hold: from the 10th to the 90th percentile."""
LOWEST, HIGHEST = 0.0, 5.0
_LEAST_SPREAD = 0.05  # stars: where all leaves agree the spread is 0, yet no rating is that certain


class Calibration(BaseModel):
    """The interval is rating + `low` * spread to rating + `high` * spread; `low` is usually negative."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float


def spread_of(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Standard deviation of the forest's mixture of leaves, in stars: between its trees and within its leaves.

    `scores` has shape (rows, 2): the mean rating and the mean square. The answer has shape (rows,).
    """
    wide = scores.astype(np.float64)
    return np.sqrt(np.maximum(wide[:, 1] - wide[:, 0] ** 2, _LEAST_SPREAD**2))


def calibrate(scores: npt.NDArray[np.floating], ratings: npt.NDArray[np.float64]) -> Calibration:
    """The percentiles of (rating - mean) / spread, for `scores` by trees that have not seen the `ratings`."""
    residuals = (ratings - scores[:, 0]) / spread_of(scores)
    tail = (1 - INTERVAL_SHARE) / 2
    low, high = np.quantile(residuals, [tail, 1 - tail])
    return Calibration(low=float(low), high=float(high))


def interval_of(
    scores: npt.NDArray[np.floating], calibration: Calibration
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(low, high), each of shape (rows,), within 0 to 5 and never the wrong way round of the rating."""
    spread, rating = spread_of(scores), scores[:, 0].astype(np.float64)
    low = np.clip(np.minimum(rating + calibration.low * spread, rating), LOWEST, HIGHEST)
    high = np.clip(np.maximum(rating + calibration.high * spread, rating), LOWEST, HIGHEST)
    return low, high
