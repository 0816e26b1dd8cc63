"""The evaluation report of a model."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class ModelVerdict(StrEnum):
    """Whether the model predicts better than the best baseline."""

    LEARNED = "learned"
    NOTHING_TO_LEARN = "nothing to learn"


class Errors(BaseModel):
    """Errors of predictions, in stars. `r2` is the share of the ratings' variance explained; the mean rating gets 0."""

    model_config = ConfigDict(frozen=True)

    rmse: float
    mae: float
    r2: float


class Improvement(BaseModel):
    """The best baseline's RMSE minus the model's, in stars, with a 95 % bootstrap interval."""

    model_config = ConfigDict(frozen=True)

    over: str
    rmse: float
    low: float
    high: float


class EvaluationReport(BaseModel):
    """Errors on held-out books. `coverage` is the share of ratings inside the interval, `interval_share` its target."""

    model_config = ConfigDict(frozen=True)

    verdict: ModelVerdict
    training_rows: int
    held_out_rows: int
    model: Errors
    baselines: dict[str, Errors]
    improvement: Improvement
    coverage: float
    interval_share: float
