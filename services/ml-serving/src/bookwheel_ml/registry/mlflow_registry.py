"""The model registry in MLflow. Importing this module imports MLflow, which takes 7 s of CPU and 180 MB."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

from bookwheel_ml.model.report import EvaluationReport
from bookwheel_ml.registry.base import CHALLENGER, CHAMPION, MODEL_NAME, ModelVersion

EXPERIMENT_NAME = "bookwheel-rating"
_SQLITE_PREFIX = "sqlite:///"
_MAX_VERSIONS = 10_000
_UNKNOWN_VERSION_CODES = {ErrorCode.Name(INVALID_PARAMETER_VALUE), ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)}


class MlflowRegistry:
    """Implements `Registry`. Its methods raise MlflowException or OSError while the registry is unavailable."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    @cached_property
    def _client(self) -> MlflowClient:
        with self._first_use_lock():
            client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
        return client

    @contextmanager
    def _first_use_lock(self) -> Iterator[None]:
        """Locks the first use of a SQLite registry, so that two processes do not create its tables at the same time."""
        if not self._uri.startswith(_SQLITE_PREFIX):
            yield
            return
        database_path = Path(self._uri.removeprefix(_SQLITE_PREFIX))
        database_path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(database_path.with_suffix(".lock")):
            yield

    def get_champion_version(self) -> str | None:
        return self._get_aliases().get(CHAMPION)

    def download(self, version: str, target_folder: Path) -> Path:
        source_uri = self._client.get_model_version_download_uri(MODEL_NAME, version)
        target_folder.mkdir(parents=True, exist_ok=True)
        return Path(download_artifacts(source_uri, dst_path=str(target_folder), tracking_uri=self._uri))

    def list_versions(self, *, limit: int, before_version: int | None) -> tuple[list[ModelVersion], int]:
        """Returns a page of versions and the total count, which is at most 10,000."""
        versions = self._client.search_model_versions(
            f"name='{MODEL_NAME}'", max_results=_MAX_VERSIONS, order_by=["version_number DESC"]
        )
        older_versions = [
            version for version in versions if before_version is None or int(version.version) < before_version
        ]
        aliases = self._get_aliases()
        return [_create_model_version(version, aliases) for version in older_versions[:limit]], len(versions)

    def get_version(self, version: str) -> ModelVersion | None:
        try:
            return _create_model_version(self._client.get_model_version(MODEL_NAME, version), self._get_aliases())
        except MlflowException as error:
            if error.error_code in _UNKNOWN_VERSION_CODES:
                return None
            raise

    def register(
        self, folder: Path, *, report: EvaluationReport, data_fingerprint: str, parameters: dict[str, Any]
    ) -> ModelVersion:
        """Uploads the folder as an MLflow run and registers it as the newest version."""
        client = self._client
        run = client.create_run(self._get_or_create_experiment(), run_name=f"train-{data_fingerprint[:8]}")
        run_id = run.info.run_id
        timestamp = int(datetime.now(UTC).timestamp() * 1000)
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, timestamp, 0) for name, value in _flatten_metrics(report).items()],
            params=[Param(name, str(value)) for name, value in parameters.items()],
            tags=[RunTag("data_fingerprint", data_fingerprint), RunTag("verdict", report.verdict)],
        )
        client.log_artifacts(run_id, str(folder), "model")
        client.set_terminated(run_id)
        if not client.search_registered_models(f"name='{MODEL_NAME}'"):
            client.create_registered_model(MODEL_NAME, description="The rating that readers will give a book.")
        tags = {"report": report.model_dump_json(), "data_fingerprint": data_fingerprint}
        version = client.create_model_version(MODEL_NAME, f"runs:/{run_id}/model", run_id, tags=tags)
        return _create_model_version(version, {}, tags)

    def set_alias(self, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(MODEL_NAME, alias, version)
        if alias == CHAMPION and self._get_aliases().get(CHALLENGER) == version:
            self._client.delete_registered_model_alias(MODEL_NAME, CHALLENGER)

    def _get_aliases(self) -> dict[str, str]:
        models = self._client.search_registered_models(f"name='{MODEL_NAME}'")
        return {alias: str(version) for alias, version in models[0].aliases.items()} if models else {}

    def _get_or_create_experiment(self) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT_NAME)
        if experiment is not None:
            return str(experiment.experiment_id)
        location = None  # a server has a location; with SQLite, the default is the working directory
        if self._uri.startswith(_SQLITE_PREFIX):
            location = (Path(self._uri.removeprefix(_SQLITE_PREFIX)).parent / "mlartifacts").absolute().as_uri()
        return str(self._client.create_experiment(EXPERIMENT_NAME, artifact_location=location))


def _flatten_metrics(report: EvaluationReport) -> dict[str, float]:
    errors_by_name = {"model": report.model, **report.baselines}
    flat_errors = {
        f"{name}_{metric}": value
        for name, errors in errors_by_name.items()
        for metric, value in errors.model_dump().items()
    }
    return {**flat_errors, "improvement_rmse": report.improvement.rmse, "interval_coverage": report.coverage}


def _create_model_version(version: Any, aliases: dict[str, str], tags: dict[str, str] | None = None) -> ModelVersion:
    tags = tags or version.tags
    return ModelVersion(
        name=version.name,
        version=str(version.version),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))),
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        run_id=version.run_id,
        data_fingerprint=tags["data_fingerprint"],
        report=EvaluationReport.model_validate_json(tags["report"]),
    )
