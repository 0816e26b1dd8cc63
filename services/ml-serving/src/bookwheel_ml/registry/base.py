"""The interface of the model registry. It does not import MLflow, which takes 7 s."""

from pathlib import Path
from typing import Any, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from bookwheel_ml.model.report import EvaluationReport

MODEL_NAME = "bookwheel-rating"
CHAMPION, CHALLENGER = "champion", "challenger"


class ModelVersion(BaseModel):
    """A registered model version.

    `aliases` is empty or contains `champion` or `challenger`. `run_id` is the id of the MLflow run. `data_fingerprint`
    is the hash of the training data.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    aliases: tuple[str, ...]
    created_at: AwareDatetime
    run_id: str
    data_fingerprint: str
    report: EvaluationReport


class Registry(Protocol):
    """Stores model versions and their aliases. Its methods block."""

    def get_champion_version(self) -> str | None:
        """Returns the champion's version, or None if there is no champion."""

    def download(self, version: str, target_folder: Path) -> Path:
        """Copies a version's files into `target_folder` and returns the folder that contains them."""

    def list_versions(self, *, limit: int, before_version: int | None) -> tuple[list[ModelVersion], int]:
        """Returns up to `limit` versions older than `before_version`, newest first, and the total count."""

    def get_version(self, version: str) -> ModelVersion | None:
        """Returns the model version, or None if it does not exist."""

    def register(
        self, folder: Path, *, report: EvaluationReport, data_fingerprint: str, parameters: dict[str, Any]
    ) -> ModelVersion:
        """Uploads a model's folder as the newest version, without an alias."""

    def set_alias(self, alias: str, version: str) -> None:
        """Moves an alias to a version. A challenger that becomes champion loses the alias `challenger`."""
