"""Evaluates a model on held-out books and compares it with baselines."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bookwheel_ml.model.features import BookFeatures
from bookwheel_ml.model.report import ErrorMetrics, EvaluationReport, EvaluationResult, Improvement
from bookwheel_ml.training.dataset import Dataset

Ratings = npt.NDArray[np.float64]

_RESAMPLE_COUNT = 2_000
_CONFIDENCE_LEVEL = 0.95
MIN_HELD_OUT_ROWS = 20
MIN_TRAINING_ROWS = 50


class TooFewRatingsError(Exception):
    """The dataset has too few rated books to train and evaluate a model."""


def compute_errors(predicted: Ratings, actual: Ratings) -> ErrorMetrics:
    residuals = predicted - actual
    variance = float(np.var(actual))
    return ErrorMetrics(
        rmse=float(np.sqrt(np.mean(residuals**2))),
        mae=float(np.mean(np.abs(residuals))),
        r2=1 - float(np.mean(residuals**2)) / variance if variance > 0 else 0.0,
    )


def check_dataset_sizes(training: Dataset, held_out: Dataset) -> None:
    """Checks that both datasets are large enough. Raises TooFewRatingsError."""
    if len(training) < MIN_TRAINING_ROWS or len(held_out) < MIN_HELD_OUT_ROWS:
        raise TooFewRatingsError(
            f"There are {len(training)} rated books to train on and {len(held_out)} to evaluate with. "
            f"At least {MIN_TRAINING_ROWS} and {MIN_HELD_OUT_ROWS} are required."
        )


def predict_baselines(training: Dataset, books: Sequence[BookFeatures]) -> dict[str, Ratings]:
    """Returns the predictions of two baselines: the mean of all ratings, and the mean of the book's category."""
    mean = float(training.ratings.mean())
    ratings_by_category: dict[str | None, list[float]] = defaultdict(list)
    for features, rating in zip(training.features, training.ratings.tolist(), strict=True):
        ratings_by_category[features.category].append(rating)
    category_means = {category: sum(ratings) / len(ratings) for category, ratings in ratings_by_category.items()}
    return {
        "mean": np.full(len(books), mean),
        "category_mean": np.array([category_means.get(book.category, mean) for book in books], dtype=np.float64),
    }


def _estimate_improvement(model: Ratings, baseline: Ratings, actual: Ratings, name: str) -> Improvement:
    """Estimates the improvement by a paired bootstrap over the held-out books."""
    model_squares, baseline_squares = (model - actual) ** 2, (baseline - actual) ** 2

    def compute_gain(rows: npt.NDArray[np.int64] | slice) -> float:
        return float(np.sqrt(baseline_squares[rows].mean()) - np.sqrt(model_squares[rows].mean()))

    generator = np.random.default_rng(1588)
    gains = [compute_gain(generator.integers(len(actual), size=len(actual))) for _ in range(_RESAMPLE_COUNT)]
    low, high = np.quantile(gains, [(1 - _CONFIDENCE_LEVEL) / 2, (1 + _CONFIDENCE_LEVEL) / 2])
    return Improvement(over=name, rmse=compute_gain(slice(None)), low=float(low), high=float(high))


def evaluate(
    rating: Ratings, interval: tuple[Ratings, Ratings], *, training: Dataset, held_out: Dataset, interval_share: float
) -> EvaluationReport:
    """Returns a model's report. `rating` and `interval`: its predictions for held-out books, of shape (books,)."""
    actual = held_out.ratings
    baseline_predictions = predict_baselines(training, held_out.features)
    baselines = {name: compute_errors(predicted, actual) for name, predicted in baseline_predictions.items()}
    best_baseline = min(baselines, key=lambda name: baselines[name].rmse)
    improvement = _estimate_improvement(rating, baseline_predictions[best_baseline], actual, best_baseline)
    low, high = interval
    return EvaluationReport(
        verdict=EvaluationResult.LEARNED if improvement.low > 0 else EvaluationResult.NOTHING_TO_LEARN,
        training_rows=len(training),
        held_out_rows=len(held_out),
        model=compute_errors(rating, actual),
        baselines=baselines,
        improvement=improvement,
        coverage=float(np.mean((low <= actual) & (actual <= high))),
        interval_share=interval_share,
    )
