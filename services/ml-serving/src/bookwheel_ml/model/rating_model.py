"""A rating model: an ONNX graph and the definition of its inputs and outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from bookwheel_ml.model.features import BookFeatures, FeatureSpec, FloatMatrix
from bookwheel_ml.model.intervals import Calibration, compute_interval
from bookwheel_ml.model.onnx_scorer import load_scorer
from bookwheel_ml.model.report import EvaluationReport

ONNX_FILE = "model.onnx"
DEFINITION_FILE = "definition.json"


class ModelDefinition(BaseModel):
    """A model without its trees.

    `importances` follow the order of `features.names` and sum to 1. `data_fingerprint` is the training data's hash.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: FeatureSpec
    calibration: Calibration
    importances: tuple[float, ...]
    report: EvaluationReport
    data_fingerprint: str


class Scorer(Protocol):
    """Maps (rows, features) to (rows, 2): the mean rating and the mean square of the ratings."""

    def __call__(self, matrix: FloatMatrix) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class Predictions:
    """Parallel columns: ratings and interval bounds in stars, from 0 to 5, and the feature matrix."""

    rating: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    matrix: FloatMatrix


@dataclass(frozen=True, slots=True)
class RatingModel:
    definition: ModelDefinition
    score: Scorer

    def predict(self, books: Sequence[BookFeatures]) -> Predictions:
        matrix = self.definition.features.build_matrix(books)
        scores = self.score(matrix).astype(np.float64)
        low, high = compute_interval(scores, self.definition.calibration)
        return Predictions(scores[:, 0], low, high, matrix)


def load_model(folder: Path) -> RatingModel:
    """Loads `ONNX_FILE` and `DEFINITION_FILE` from `folder`. Raises OSError, or ValueError for invalid files."""
    definition = ModelDefinition.model_validate_json((folder / DEFINITION_FILE).read_bytes())
    return RatingModel(definition, load_scorer((folder / ONNX_FILE).read_bytes()))
