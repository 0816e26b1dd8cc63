"""The port of the model registry. It knows nothing of MLflow, whose import is too dear for most processes."""

from pathlib import Path
from typing import Any, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from bookwheel_ml.evaluate import EvaluationReport

MODEL_NAME = "bookwheel-rating"
CHAMPION, CHALLENGER = "champion", "challenger"


class ModelVersion(BaseModel):
    """One registered model. `aliases` may hold `champion` or `challenger`."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    aliases: tuple[str, ...]
    created_at: AwareDatetime
    run_id: str
    data_fingerprint: str
    report: EvaluationReport


class Registry(Protocol):
    """Blocking."""

    def champion(self) -> str | None:
        """The champion's version."""

    def download(self, version: str, into: Path) -> Path:
        """Copies a version's files below `into`; the folder that holds them."""

    def versions(self, *, limit: int, below: int | None) -> tuple[list[ModelVersion], int]:
        """Newest first, those below a version, and how many there are in all."""

    def version(self, version: str) -> ModelVersion | None:
        """None where there is no such version."""

    def register(
        self, folder: Path, *, report: EvaluationReport, data_fingerprint: str, parameters: dict[str, Any]
    ) -> ModelVersion:
        """Uploads a model's folder as the newest version. It has no alias yet."""

    def give_alias(self, alias: str, version: str) -> None:
        """Moves an alias to a version; a challenger that becomes champion is challenger no more."""
