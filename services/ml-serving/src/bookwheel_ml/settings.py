"""The settings of the serving process, the trainer and the command line."""

from functools import cached_property
from pathlib import Path

from bookwheel_runtime.setting_types import DatabaseUrl, HttpUrl, RedisUrl, TrackingUri
from bookwheel_runtime.settings import HealthSettings
from pydantic import Field

from bookwheel_ml import DEFAULT_PORT


class MlSettings(HealthSettings):
    """The three programs use the same database, registry and streams."""

    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, description="Port that the service listens on.")
    database_url: DatabaseUrl | None = Field(
        default=None, description="SQLAlchemy URL of the records database; by default SQLite in the data folder."
    )
    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:8084/0",
        description="Redis URL for streams, the training queue and the state of training runs.",
    )
    tracking_uri: TrackingUri | None = Field(
        default=None,
        validation_alias="MLFLOW_TRACKING_URI",
        description="URL of MLflow's tracking server and registry; by default SQLite in the data folder.",
    )
    jwks_url: HttpUrl = Field(
        default="http://127.0.0.1:8083/.well-known/jwks.json",
        description="URL of the public keys (JWKS) that verify internal tokens.",
    )
    issuer: str = Field(default="bookwheel", description="Required `iss` of internal tokens.")
    champion_poll_seconds: float = Field(
        default=2.0, gt=0, description="Seconds between two checks of the registry for a new champion."
    )
    prediction_log_limit: int = Field(
        default=50_000,
        ge=1,
        description="Maximum number of prediction log entries in memory while Redis is unavailable; "
        "later ones are dropped.",
    )
    prediction_stream_limit: int = Field(
        default=100_000,
        ge=1_000,
        description="Maximum number of unprocessed prediction log entries in the stream. At the limit, predictions "
        "get a 503 response.",
    )
    forest_trees: int = Field(default=200, ge=10, le=1_000, description="Number of trees in a newly trained forest.")

    @cached_property
    def records_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'bookwheel.sqlite').absolute()}"

    @cached_property
    def registry_uri(self) -> str:
        return self.tracking_uri or f"sqlite:///{(self.data_dir / 'mlflow.sqlite').absolute()}"

    @property
    def model_cache(self) -> Path:
        """Returns the folder for the files of the last champion. A restarted service loads them first."""
        return self.data_dir / "ml-serving"
