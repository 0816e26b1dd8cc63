"""Loads immutable settings from the environment or from files, and validates them at start."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypedDict, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bookwheel_runtime.setting_types import HttpUrl, LakeUrl


class Settings(BaseSettings):
    """The base class of all settings. The field `x` is read from `BOOKWHEEL_X`, or from its alias.

    If the variable is unset or empty, the file with its name in the folder `BOOKWHEEL_SECRETS_DIR` is read.
    """

    model_config = SettingsConfigDict(
        env_prefix="BOOKWHEEL_", env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True
    )

    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="Lowest logged level.")
    state_dir: Path = Field(
        default=Path(".bookwheel"), description="Folder of data, logs and secrets of a one-machine suite."
    )

    @property
    def data_dir(self) -> Path:
        return self.state_dir / "data"


class HealthSettings(Settings):
    """Settings of programs that serve only `/livez`, `/readyz` and `/metrics`."""

    host: str = Field(default="127.0.0.1", description="Address that the program listens on.")
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port on which a program without an HTTP API (workers, scheduler, scraper, trainer) serves "
        "`/metrics`, `/livez` and `/readyz`; 0: none.",
    )


class LakeOptions(TypedDict):
    """The arguments of `bookwheel_stores.lake.LakeAddress`."""

    url: str
    endpoint: str | None
    region: str
    access_key: str | None
    secret_key: str | None


class LakeSettings(Settings):
    """Settings of services that write or read the lake."""

    lake_url: LakeUrl | None = Field(
        default=None,
        description="The lake: `file:///folder`, `s3://bucket/prefix` or `gs://bucket/prefix`. By default `data/lake` "
        "in the state folder.",
    )
    lake_endpoint: HttpUrl | None = Field(
        default=None, description="URL of an S3-compatible store other than AWS, or of a GCS emulator."
    )
    lake_region: str = Field(default="us-east-1", description="The region of an S3 bucket.")
    lake_access_key: SecretStr | None = Field(
        default=None,
        description="Access key for the lake's S3 bucket. Without it, the credentials of the machine are used. Must be "
        "unset for GCS, which uses the credentials of the environment.",
    )
    lake_secret_key: SecretStr | None = Field(default=None, description="Secret key of the access key.")

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if (self.lake_access_key is None) != (self.lake_secret_key is None):
            raise ValueError("BOOKWHEEL_LAKE_ACCESS_KEY and BOOKWHEEL_LAKE_SECRET_KEY must be set together")
        if self.lake_access_key is not None and (self.lake_url or "").startswith("gs://"):
            raise ValueError(
                "BOOKWHEEL_LAKE_ACCESS_KEY is for S3: a lake on GCS uses the credentials of the environment"
            )
        return self

    def lake_options(self) -> LakeOptions:
        return {
            "url": self.lake_url or (self.data_dir / "lake").absolute().as_uri(),
            "endpoint": self.lake_endpoint,
            "region": self.lake_region,
            "access_key": self.lake_access_key.get_secret_value() if self.lake_access_key else None,
            "secret_key": self.lake_secret_key.get_secret_value() if self.lake_secret_key else None,
        }


SettingsType = TypeVar("SettingsType", bound=Settings)


def load_settings(settings_class: type[SettingsType]) -> SettingsType:
    """Reads the settings, or exits with status 2 and writes each invalid setting to standard error."""
    secrets_dir = os.environ.get("BOOKWHEEL_SECRETS_DIR")
    if secrets_dir and not os.access(secrets_dir, os.R_OK | os.X_OK):
        print(f"setting BOOKWHEEL_SECRETS_DIR: {secrets_dir} is not a readable folder", file=sys.stderr)
        raise SystemExit(2)
    try:
        return settings_class(_secrets_dir=secrets_dir or None)
    except ValidationError as error:
        for details in error.errors():
            print(_describe(settings_class, details), file=sys.stderr)
    except (OSError, UnicodeDecodeError) as error:
        print(f"setting BOOKWHEEL_SECRETS_DIR: a file is not readable: {error}", file=sys.stderr)
    raise SystemExit(2)


def _describe(settings_class: type[Settings], details: Mapping[str, Any]) -> str:
    """Renders the name, error and description of a setting, without its value, which may be a secret."""
    message = str(details["msg"]).removeprefix("Value error, ")
    if not details["loc"]:
        return f"settings: {message}"
    name = str(details["loc"][0])
    for field_name, field in settings_class.model_fields.items():
        variable = str(field.validation_alias or f"BOOKWHEEL_{field_name}".upper())
        if name.upper() in {field_name.upper(), variable}:
            return f"setting {variable}: {message}" + (f" ({field.description})" if field.description else "")
    return f"setting {name}: {message}"
