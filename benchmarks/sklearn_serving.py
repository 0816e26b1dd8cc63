"""A baseline for predictions: the ML service with scikit-learn's forest instead of the ONNX graph."""

from pathlib import Path

import bookwheel_ml.serving.champion
import numpy as np
import numpy.typing as npt
from bookwheel_ml.model.features import FeatureSpec, FloatMatrix
from bookwheel_ml.model.rating_model import RatingModel, load_model
from bookwheel_ml.server import serve
from bookwheel_ml.settings import MlSettings
from bookwheel_ml.training.dataset import read_datasets
from bookwheel_ml.training.forest import fit_forest
from bookwheel_runtime.settings import load_settings
from bookwheel_stores.records import BookReader, connect_database
from sklearn.ensemble import RandomForestRegressor


def fit_served_forest(settings: MlSettings, features: FeatureSpec) -> RandomForestRegressor:
    """Fits the forest that the served model was exported from: the same rows, features and trees."""
    engine = connect_database(settings.records_url)
    training, _held_out = read_datasets(BookReader(engine))
    engine.dispose()
    return fit_forest(
        features.build_matrix(training.features), training.ratings, tree_count=settings.forest_trees
    ).forest


def main() -> None:
    settings = load_settings(MlSettings)

    def load_with_sklearn(folder: Path) -> RatingModel:
        definition = load_model(folder).definition
        forest = fit_served_forest(settings, definition.features)

        def score(matrix: FloatMatrix) -> npt.NDArray[np.float32]:
            ratings = forest.predict(matrix)
            return np.stack([ratings, ratings**2], axis=1).astype(np.float32)

        return RatingModel(definition, score)

    setattr(bookwheel_ml.serving.champion, "load_model", load_with_sklearn)  # noqa: B010 - the only difference
    serve(settings)


if __name__ == "__main__":
    main()
