"""Evaluates a model on held-out books and compares it with baselines."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bookwheel_ml.model.features import BookFeatures
from bookwheel_ml.model.report import Errors, EvaluationReport, Improvement, ModelVerdict
from bookwheel_ml.training.dataset import Dataset

Ratings = npt.NDArray[np.float64]

_RESAMPLES = 2_000
_CONFIDENCE = 0.95
MIN_HELD_OUT = 20
MIN_TRAINING = 50


class TooFewRatingsError(Exception):
    """There are too few rated books to train and evaluate a model."""


def compute_errors(predicted: Ratings, actual: Ratings) -> Errors:
    residuals = predicted - actual
    variance = float(np.var(actual))
    return Errors(
        rmse=float(np.sqrt(np.mean(residuals**2))),
        mae=float(np.mean(np.abs(residuals))),
        r2=1 - float(np.mean(residuals**2)) / variance if variance > 0 else 0.0,
    )


def check_enough(training: Dataset, held_out: Dataset) -> None:
    """Raises TooFewRatingsError."""
    if len(training) < MIN_TRAINING or len(held_out) < MIN_HELD_OUT:
        raise TooFewRatingsError(
            f"There are {len(training)} rated books to train on and {len(held_out)} to evaluate with; "
            f"at least {MIN_TRAINING} and {MIN_HELD_OUT} are needed."
        )


def baseline_predictions(training: Dataset, books: Sequence[BookFeatures]) -> dict[str, Ratings]:
    """Returns two baselines: the mean of all ratings, and the mean of the book's category."""
    mean = float(training.ratings.mean())
    by_category: dict[str | None, list[float]] = defaultdict(list)
    for features, rating in zip(training.features, training.ratings.tolist(), strict=True):
        by_category[features.category].append(rating)
    category_means = {category: sum(ratings) / len(ratings) for category, ratings in by_category.items()}
    return {
        "mean": np.full(len(books), mean),
        "category_mean": np.array([category_means.get(book.category, mean) for book in books], dtype=np.float64),
    }


def _improvement(model: Ratings, baseline: Ratings, actual: Ratings, name: str) -> Improvement:
    """Estimates the improvement by a paired bootstrap over the held-out books."""
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
    """`rating` and `interval` are the model's predictions for the held-out books, each of shape (books,)."""
    actual = held_out.ratings
    predictions = baseline_predictions(training, held_out.features)
    baselines = {name: compute_errors(predicted, actual) for name, predicted in predictions.items()}
    best = min(baselines, key=lambda name: baselines[name].rmse)
    improvement = _improvement(rating, predictions[best], actual, best)
    low, high = interval
    return EvaluationReport(
        verdict=ModelVerdict.LEARNED if improvement.low > 0 else ModelVerdict.NOTHING_TO_LEARN,
        training_rows=len(training),
        held_out_rows=len(held_out),
        model=compute_errors(rating, actual),
        baselines=baselines,
        improvement=improvement,
        coverage=float(np.mean((low <= actual) & (actual <= high))),
        interval_share=interval_share,
    )
