"""The settings of the serving process, the trainer and the command line."""

from functools import cached_property
from pathlib import Path

from bookwheel_runtime.setting_types import DatabaseUrl, HttpUrl, RedisUrl, TrackingUri
from bookwheel_runtime.settings import HealthSettings
from pydantic import Field

from bookwheel_ml import DEFAULT_PORT


class MlSettings(HealthSettings):
    """All three use the same records, registry and streams."""

    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, description="Port that the service listens on.")
    database_url: DatabaseUrl | None = Field(
        default=None, description="URL of the records; by default SQLite in the data folder."
    )
    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:8084/0", description="Redis for streams, training jobs and their state."
    )
    tracking_uri: TrackingUri | None = Field(
        default=None,
        validation_alias="MLFLOW_TRACKING_URI",
        description="MLflow's tracking and registry address; by default SQLite in the data folder.",
    )
    jwks_url: HttpUrl = Field(
        default="http://127.0.0.1:8083/.well-known/jwks.json", description="Public keys of the internal tokens."
    )
    issuer: str = Field(default="bookwheel", description="Issuer that an internal token must name.")
    champion_poll_seconds: float = Field(
        default=2.0, gt=0, description="How often the service looks for a new champion in the registry."
    )
    prediction_log_limit: int = Field(
        default=50_000,
        ge=1,
        description="Prediction records kept in memory while Redis is unavailable; more are dropped.",
    )
    prediction_stream_limit: int = Field(
        default=100_000,
        ge=1_000,
        description="Prediction records that may wait in the stream for the processor. At the limit, predictions are "
        "refused with 503.",
    )
    forest_trees: int = Field(default=200, ge=10, le=1_000, description="Trees of a newly trained forest.")

    @cached_property
    def records_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'bookwheel.sqlite').absolute()}"

    @cached_property
    def registry_uri(self) -> str:
        return self.tracking_uri or f"sqlite:///{(self.data_dir / 'mlflow.sqlite').absolute()}"

    @property
    def model_cache(self) -> Path:
        """Folder of the last champion's files, which a restarted service loads first."""
        return self.data_dir / "ml-serving"
