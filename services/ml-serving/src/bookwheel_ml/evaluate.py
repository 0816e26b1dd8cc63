"""Is the model worth anything? Held-out errors beside trivial baselines, and a verdict that may be no."""

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from bookwheel_ml.dataset import Dataset
from bookwheel_ml.features import BookFacts

Ratings = npt.NDArray[np.float64]

_RESAMPLES = 2_000
_CONFIDENCE = 0.95
LEAST_HELD_OUT = 20
LEAST_TRAINING = 50


class TooFewRatingsError(Exception):
    """There are not enough rated books to train and to judge a model."""


class Verdict(StrEnum):
    LEARNED = "learned"
    NOTHING_TO_LEARN = "nothing to learn"


class Errors(BaseModel):
    """In stars; `r2` is the share of the held-out ratings' variance explained, 0 for their own mean."""

    model_config = ConfigDict(frozen=True)

    rmse: float
    mae: float
    r2: float


class Improvement(BaseModel):
    """How much lower the model's RMSE is than the better baseline's, in stars, with a 95 % bootstrap interval."""

    model_config = ConfigDict(frozen=True)

    over: str
    rmse: float
    low: float
    high: float


class EvaluationReport(BaseModel):
    """`coverage`: share of held-out ratings inside the model's interval, which aims at `interval_share`."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    training_rows: int
    held_out_rows: int
    model: Errors
    baselines: dict[str, Errors]
    improvement: Improvement
    coverage: float
    interval_share: float


def errors_of(predicted: Ratings, actual: Ratings) -> Errors:
    residuals = predicted - actual
    variance = float(np.var(actual))
    return Errors(
        rmse=float(np.sqrt(np.mean(residuals**2))),
        mae=float(np.mean(np.abs(residuals))),
        r2=1 - float(np.mean(residuals**2)) / variance if variance > 0 else 0.0,
    )


def check_enough(training: Dataset, held_out: Dataset) -> None:
    """Raises TooFewRatings."""
    if len(training) < LEAST_TRAINING or len(held_out) < LEAST_HELD_OUT:
        raise TooFewRatingsError(
            f"{len(training)} rated books to train on and {len(held_out)} to judge by; "
            f"{LEAST_TRAINING} and {LEAST_HELD_OUT} are the least."
        )


def baseline_predictions(training: Dataset, books: Sequence[BookFacts]) -> dict[str, Ratings]:
    """What someone without a model would say: the mean of all ratings, and the mean of the book's category."""
    mean = float(training.ratings.mean())
    by_category: dict[str | None, list[float]] = defaultdict(list)
    for facts, rating in zip(training.facts, training.ratings.tolist(), strict=True):
        by_category[facts.category].append(rating)
    category_means = {category: sum(ratings) / len(ratings) for category, ratings in by_category.items()}
    return {
        "mean": np.full(len(books), mean),
        "category_mean": np.array([category_means.get(facts.category, mean) for facts in books], dtype=np.float64),
    }


def _improvement(model: Ratings, baseline: Ratings, actual: Ratings, name: str) -> Improvement:
    """Paired bootstrap over held-out books."""
    model_squares, baseline_squares = (model - actual) ** 2, (baseline - actual) ** 2

    def gain(rows: npt.NDArray[np.int64] | slice) -> float:
        return float(np.sqrt(baseline_squares[rows].mean()) - np.sqrt(model_squares[rows].mean()))

    generator = np.random.default_rng(1588)
    gains = [gain(generator.integers(len(actual), size=len(actual))) for _ in range(_RESAMPLES)]
    low, high = np.quantile(gains, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Improvement(over=name, rmse=gain(slice(None)), low=float(low), high=float(high))


def evaluate(
    rating: Ratings, interval: tuple[Ratings, Ratings], *, training: Dataset, held_out: Dataset, interval_share: float
) -> EvaluationReport:
    """`rating` and `interval` are the model's answers for the held-out books, each of shape (books,)."""
    actual = held_out.ratings
    predictions = baseline_predictions(training, held_out.facts)
    baselines = {name: errors_of(predicted, actual) for name, predicted in predictions.items()}
    best = min(baselines, key=lambda name: baselines[name].rmse)
    improvement = _improvement(rating, predictions[best], actual, best)
    low, high = interval
    return EvaluationReport(
        verdict=Verdict.LEARNED if improvement.low > 0 else Verdict.NOTHING_TO_LEARN,
        training_rows=len(training),
        held_out_rows=len(held_out),
        model=errors_of(rating, actual),
        baselines=baselines,
        improvement=improvement,
        coverage=float(np.mean((low <= actual) & (actual <= high))),
        interval_share=interval_share,
    )
