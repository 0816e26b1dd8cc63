"""The evaluation report of a model."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class EvaluationResult(StrEnum):
    """Whether the model predicts better than the best baseline."""

    LEARNED = "learned"
    NOTHING_TO_LEARN = "nothing to learn"


class ErrorMetrics(BaseModel):
    """Errors in stars, and `r2`, the explained share of the ratings' variance.

    A model that always predicts the mean has an `r2` of 0.
    """

    model_config = ConfigDict(frozen=True)

    rmse: float
    mae: float
    r2: float


class Improvement(BaseModel):
    """The RMSE of the best baseline (`over`) minus that of the model, in stars, with a 95 % bootstrap interval."""

    model_config = ConfigDict(frozen=True)

    over: str
    rmse: float
    low: float
    high: float


class EvaluationReport(BaseModel):
    """The errors of a model and of baselines on held-out books.

    `verdict` is the result of the evaluation. `coverage` is the share of held-out ratings that lie within their
    prediction intervals; `interval_share` is the share that the intervals are made for.
    """

    model_config = ConfigDict(frozen=True)

    verdict: EvaluationResult
    training_rows: int
    held_out_rows: int
    model: ErrorMetrics
    baselines: dict[str, ErrorMetrics]
    improvement: Improvement
    coverage: float
    interval_share: float
