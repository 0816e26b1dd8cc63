"""The training pipeline: read the records, fit features and forest, export, evaluate, register, assign an alias."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlflow.onnx
import numpy as np
import onnx
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import BookReader

from bookwheel_ml.model.features import fit_feature_spec
from bookwheel_ml.model.intervals import INTERVAL_COVERAGE, compute_interval
from bookwheel_ml.model.onnx_scorer import load_scorer
from bookwheel_ml.model.rating_model import DEFINITION_FILE, ModelDefinition, load_model
from bookwheel_ml.registry.base import CHALLENGER, CHAMPION, ModelVersion, Registry
from bookwheel_ml.training.dataset import Dataset, read_datasets
from bookwheel_ml.training.evaluation import check_dataset_sizes, compute_errors, evaluate
from bookwheel_ml.training.forest import fit_forest
from bookwheel_ml.training.onnx_export import check_export, export_forest

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    onnx: onnx.ModelProto
    definition: ModelDefinition
    min_leaf_size: int


def train_model(training: Dataset, held_out: Dataset, *, tree_count: int) -> TrainedModel:
    """Fits and exports a model, and evaluates the exported graph.

    Raises TooFewRatingsError or OnnxMismatchError.
    """
    check_dataset_sizes(training, held_out)
    feature_spec = fit_feature_spec(training.features, training.ratings)
    training_matrix = feature_spec.build_matrix(training.features)
    held_out_matrix = feature_spec.build_matrix(held_out.features)
    fitted = fit_forest(training_matrix, training.ratings, tree_count=tree_count)
    exported = export_forest(fitted.forest)
    # The training rows reach every leaf; there may be only 20 held-out rows.
    max_difference = max(check_export(exported, fitted.forest, matrix) for matrix in (training_matrix, held_out_matrix))
    scores = load_scorer(exported.SerializeToString())(held_out_matrix)
    report = evaluate(
        scores[:, 0].astype(np.float64),
        compute_interval(scores, fitted.calibration),
        training=training,
        held_out=held_out,
        interval_share=INTERVAL_COVERAGE,
    )
    logger.info("model trained", max_export_difference=max_difference, **report.model_dump(mode="json"))
    definition = ModelDefinition(
        features=feature_spec,
        calibration=fitted.calibration,
        importances=tuple(fitted.forest.feature_importances_.tolist()),
        report=report,
        data_fingerprint=training.fingerprint(),
    )
    return TrainedModel(exported, definition, fitted.min_leaf_size)


def compute_champion_rmse(registry: Registry, held_out: Dataset) -> float:
    """Returns the champion's RMSE on the held-out books, in stars; infinity if no champion can be loaded."""
    version = registry.get_champion_version()
    if version is None:
        return math.inf
    with tempfile.TemporaryDirectory(prefix="bookwheel-champion-") as folder:
        try:
            champion = load_model(registry.download(version, Path(folder)))
        except ValueError as error:  # written by an incompatible version of Bookwheel
            logger.warning("champion could not be loaded", version=version, error=str(error))
            return math.inf
        return compute_errors(champion.predict(held_out.features).rating, held_out.ratings).rmse


def save_model(model: TrainedModel, folder: Path) -> None:
    """Writes an MLflow model of the ONNX flavor and Bookwheel's definition file."""
    mlflow.onnx.save_model(
        model.onnx, str(folder), pip_requirements=["onnxruntime", "numpy"], save_as_external_data=False
    )
    (folder / DEFINITION_FILE).write_text(model.definition.model_dump_json())


def train_and_register(
    books: BookReader, registry: Registry, *, tree_count: int, ensure_lease_held: Callable[[], None] = lambda: None
) -> ModelVersion:
    """Trains and registers a model. It becomes champion unless the champion has a lower error on the held-out books.

    Calls `ensure_lease_held` before each write to the registry. It may raise an error to stop the training.
    Raises TooFewRatingsError or OnnxMismatchError before it registers anything.
    """
    training, held_out = read_datasets(books)
    model = train_model(training, held_out, tree_count=tree_count)
    report = model.definition.report
    champion_rmse = compute_champion_rmse(registry, held_out)
    with tempfile.TemporaryDirectory(prefix="bookwheel-model-") as folder:
        save_model(model, Path(folder) / "model")
        ensure_lease_held()
        version = registry.register(
            Path(folder) / "model",
            report=report,
            data_fingerprint=model.definition.data_fingerprint,
            parameters={"trees": tree_count, "least_leaf": model.min_leaf_size},
        )
    alias = CHAMPION if report.model.rmse <= champion_rmse else CHALLENGER
    ensure_lease_held()
    registry.set_alias(alias, version.version)
    logger.info(
        "model registered",
        version=version.version,
        alias=alias,
        rmse=report.model.rmse,
        champion_rmse=champion_rmse,
    )
    return version.model_copy(update={"aliases": (alias,)})
