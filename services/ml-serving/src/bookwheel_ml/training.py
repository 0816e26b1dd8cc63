"""The whole way of a model: read the records, learn features, fit, export, evaluate, register, crown."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow.onnx
import numpy as np
import onnx
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import BookReader

from bookwheel_ml.dataset import Dataset, read_datasets
from bookwheel_ml.evaluate import check_enough, errors_of, evaluate
from bookwheel_ml.export import check_export, export_forest
from bookwheel_ml.features import learn_features
from bookwheel_ml.intervals import INTERVAL_SHARE, interval_of
from bookwheel_ml.model import DEFINITION_FILE, ModelDefinition, load_model
from bookwheel_ml.onnx_session import open_session
from bookwheel_ml.registry import CHALLENGER, CHAMPION, ModelVersion, Registry
from bookwheel_ml.train import fit_forest

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    onnx: onnx.ModelProto
    definition: ModelDefinition
    least_leaf: int


def train_model(training: Dataset, held_out: Dataset, *, trees: int) -> TrainedModel:
    """What is judged is the exported graph, since that is what will be served.

    Raises TooFewRatings, and ExportNotEqual for a model that must not be served.
    """
    check_enough(training, held_out)
    features = learn_features(training.facts, training.ratings)
    seen, matrix = features.matrix(training.facts), features.matrix(held_out.facts)
    fitted = fit_forest(seen, training.ratings, trees=trees)
    exported = export_forest(fitted.forest)
    # some of the training rows come to every leaf, of the held-out ones there may be no more than 20
    gap = max(check_export(exported, fitted.forest, rows) for rows in (seen, matrix))
    scores = open_session(exported.SerializeToString())(matrix)
    report = evaluate(
        scores[:, 0].astype(np.float64),
        interval_of(scores, fitted.calibration),
        training=training,
        held_out=held_out,
        interval_share=INTERVAL_SHARE,
    )
    logger.info("model trained", export_gap=gap, **report.model_dump(mode="json"))
    definition = ModelDefinition(
        features=features,
        calibration=fitted.calibration,
        importances=tuple(fitted.forest.feature_importances_.tolist()),
        report=report,
        data_fingerprint=training.fingerprint(),
    )
    return TrainedModel(exported, definition, fitted.least_leaf)


def champion_error(registry: Registry, held_out: Dataset) -> float:
    """The present champion's RMSE on these held-out books, in stars; infinite where there is none that still loads."""
    version = registry.champion()
    if version is None:
        return math.inf
    with tempfile.TemporaryDirectory(prefix="bookwheel-champion-") as folder:
        try:
            champion = load_model(registry.download(version, Path(folder)))
        except ValueError as error:  # of an older Bookwheel: its definition has another shape
            logger.warning("the champion can't be read and will be replaced", version=version, error=str(error))
            return math.inf
        return errors_of(champion.predict(held_out.facts).rating, held_out.ratings).rmse


def save_model(model: TrainedModel, folder: Path) -> None:
    """An MLflow model of the ONNX flavour, with Bookwheel's definition beside it."""
    mlflow.onnx.save_model(
        model.onnx, str(folder), pip_requirements=["onnxruntime", "numpy"], save_as_external_data=False
    )
    (folder / DEFINITION_FILE).write_text(model.definition.model_dump_json())


def train_and_register(books: BookReader, registry: Registry, *, trees: int) -> ModelVersion:
    """Registers a new version: `champion` unless the present one does better on the same held-out books.

    Raises TooFewRatings or ExportNotEqual, and then registers nothing.
    """
    training, held_out = read_datasets(books)
    model = train_model(training, held_out, trees=trees)
    report = model.definition.report
    rival = champion_error(registry, held_out)
    with tempfile.TemporaryDirectory(prefix="bookwheel-model-") as folder:
        save_model(model, Path(folder) / "model")
        version = registry.register(
            Path(folder) / "model",
            report=report,
            data_fingerprint=model.definition.data_fingerprint,
            parameters={"trees": trees, "least_leaf": model.least_leaf},
        )
    alias = CHAMPION if report.model.rmse <= rival else CHALLENGER
    registry.give_alias(alias, version.version)
    logger.info("model registered", version=version.version, alias=alias, rmse=report.model.rmse, champion_rmse=rival)
    return version.model_copy(update={"aliases": (alias,)})
