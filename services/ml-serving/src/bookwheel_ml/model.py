"""A model as it is served and compared: an ONNX graph with the definition of its inputs and outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from bookwheel_ml.evaluate import EvaluationReport
from bookwheel_ml.features import BookFacts, FeatureSpec, FloatMatrix
from bookwheel_ml.intervals import Calibration, interval_of
from bookwheel_ml.onnx_session import open_session

ONNX_FILE = "model.onnx"
DEFINITION_FILE = "definition.json"


class ModelDefinition(BaseModel):
    """Everything about a model but its trees. `importances` are in the order of the features' names and sum to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: FeatureSpec
    calibration: Calibration
    importances: tuple[float, ...]
    report: EvaluationReport
    data_fingerprint: str


class Scorer(Protocol):
    """Shape (rows, features) in; shape (rows, 2) out: the rating, and the mean square of ratings."""

    def __call__(self, matrix: FloatMatrix) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class Predictions:
    """Parallel columns, in stars within 0 to 5; `features` is the matrix that went in."""

    rating: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    features: FloatMatrix


@dataclass(frozen=True, slots=True)
class RatingModel:
    definition: ModelDefinition
    score: Scorer

    def predict(self, books: Sequence[BookFacts]) -> Predictions:
        matrix = self.definition.features.matrix(books)
        scores = self.score(matrix)
        low, high = interval_of(scores, self.definition.calibration)
        return Predictions(scores[:, 0].astype(np.float64), low, high, matrix)


def load_model(folder: Path) -> RatingModel:
    """Reads `ONNX_FILE` and `DEFINITION_FILE` of a folder. Raises OSError, and ValueError for files that are broken."""
    definition = ModelDefinition.model_validate_json((folder / DEFINITION_FILE).read_bytes())
    return RatingModel(definition, open_session((folder / ONNX_FILE).read_bytes()))
