"""The interface of the model registry. It does not import MLflow, which takes 7 s."""

from pathlib import Path
from typing import Any, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from bookwheel_ml.model.report import EvaluationReport

MODEL_NAME = "bookwheel-rating"
CHAMPION, CHALLENGER = "champion", "challenger"


class ModelVersion(BaseModel):
    """One registered model. `aliases` holds `champion`, `challenger` or neither."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    aliases: tuple[str, ...]
    created_at: AwareDatetime
    run_id: str
    data_fingerprint: str
    report: EvaluationReport


class Registry(Protocol):
    """Methods block."""

    def champion(self) -> str | None:
        """Returns the champion's version, or None."""

    def download(self, version: str, into: Path) -> Path:
        """Copies a version's files to a folder below `into`, and returns that folder."""

    def versions(self, *, limit: int, below: int | None) -> tuple[list[ModelVersion], int]:
        """Returns up to `limit` versions lower than `below`, newest first, and the total count."""

    def version(self, version: str) -> ModelVersion | None:
        """Returns one version, or None."""

    def register(
        self, folder: Path, *, report: EvaluationReport, data_fingerprint: str, parameters: dict[str, Any]
    ) -> ModelVersion:
        """Uploads a model's folder as the newest version, without an alias."""

    def set_alias(self, alias: str, version: str) -> None:
        """Moves an alias to a version. A challenger that becomes champion loses the alias `challenger`."""
