"""The settings of the accounts service."""

from pathlib import Path

from bookwheel_runtime.setting_types import DatabaseUrl, HttpUrl, RedisUrl
from bookwheel_runtime.settings import Settings
from pydantic import Field

from bookwheel_accounts import DEFAULT_PORT


class AccountsSettings(Settings):
    host: str = Field(default="127.0.0.1", description="Address that the service listens on.")
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535, description="Port that the service listens on.")
    database_url: DatabaseUrl = Field(
        default="sqlite:///.bookwheel/data/bookwheel.sqlite", description="SQLAlchemy URL of the records database."
    )
    redis_url: RedisUrl | None = Field(
        default=None,
        description="Redis URL for the heartbeats of replicas; without it `/api/v1/status` shows no accounts replicas.",
    )
    issuer: str = Field(default="bookwheel", min_length=1, description="`iss` of all tokens of the suite.")
    signing_key_file: Path = Field(
        default=Path(".bookwheel/secrets/signing-key.pem"),
        description="PEM file of the ES256 signing key, or a folder of PEM files. The last file by name signs; "
        "all keys are published.",
    )
    access_token_seconds: int = Field(
        default=900, ge=30, le=86_400, description="Lifetime of an access token, in seconds."
    )
    refresh_token_days: int = Field(
        default=30, ge=1, le=365, description="Lifetime of a session, in days. Refreshing does not extend it."
    )
    internal_token_seconds: int = Field(
        default=60,
        ge=20,
        le=600,
        description="Lifetime of an internal token, in seconds. The gateway replaces the caller's credential with it.",
    )
    verify_cache_seconds: int = Field(
        default=10, ge=0, le=15, description="Seconds for which the gateway may cache an accepted credential."
    )
    registration: bool = Field(default=True, description="True if anyone may register an account.")
    password_workers: int = Field(
        default=2, ge=1, le=64, description="Number of passwords hashed in parallel. Each takes 64 MiB for about 0.1 s."
    )
    catalog_url: HttpUrl = Field(default="http://127.0.0.1:8081", description="Base URL of the catalog API.")
    ml_url: HttpUrl = Field(default="http://127.0.0.1:8082", description="Base URL of ML serving.")
