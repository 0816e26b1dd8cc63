"""A rating model: an ONNX graph and the definition of its inputs and outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from bookwheel_ml.model.features import BookFeatures, FeatureSpec, FloatMatrix
from bookwheel_ml.model.intervals import Calibration, interval_of
from bookwheel_ml.model.onnx_scorer import load_scorer
from bookwheel_ml.model.report import EvaluationReport

ONNX_FILE = "model.onnx"
DEFINITION_FILE = "definition.json"


class ModelDefinition(BaseModel):
    """Everything except the trees. `importances` follow the order of `features.names` and sum to 1."""

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
    """Parallel columns in stars, from 0 to 5. `features` is the input matrix."""

    rating: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    features: FloatMatrix


@dataclass(frozen=True, slots=True)
class RatingModel:
    definition: ModelDefinition
    score: Scorer

    def predict(self, books: Sequence[BookFeatures]) -> Predictions:
        matrix = self.definition.features.matrix(books)
        scores = self.score(matrix).astype(np.float64)
        low, high = interval_of(scores, self.definition.calibration)
        return Predictions(scores[:, 0], low, high, matrix)


def load_model(folder: Path) -> RatingModel:
    """Reads `ONNX_FILE` and `DEFINITION_FILE` from `folder`. Raises OSError, or ValueError for invalid files."""
    definition = ModelDefinition.model_validate_json((folder / DEFINITION_FILE).read_bytes())
    return RatingModel(definition, load_scorer((folder / ONNX_FILE).read_bytes()))
