"""Settings from the environment or from files: validated once at start, then immutable."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypedDict, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bookwheel_runtime.setting_types import HttpUrl, LakeUrl


class Settings(BaseSettings):
    """Base of every service's settings: each field `x` is read from `BOOKWHEEL_X`, or from its alias.

    A variable that is unset or empty is read from the file of its name in the folder `BOOKWHEEL_SECRETS_DIR`.
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
    """For programs that serve only `/livez`, `/readyz` and `/metrics`."""

    host: str = Field(default="127.0.0.1", description="Address that the program listens on.")
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port on which a program without an API of its own (workers, scheduler, scraper, trainer) serves "
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
    """The lake, for the services that write or read it."""

    lake_url: LakeUrl | None = Field(
        default=None,
        description="The lake: `file:///folder`, `s3://bucket/prefix` or `gs://bucket/prefix`. By default `data/lake` "
        "in the state folder.",
    )
    lake_endpoint: HttpUrl | None = Field(
        default=None, description="URL of the S3-compatible store, if it is not Amazon's; for GCS, of an emulator."
    )
    lake_region: str = Field(default="us-east-1", description="The region of an S3 bucket.")
    lake_access_key: SecretStr | None = Field(
        default=None,
        description="Access key for the lake's S3 bucket; by default that of the machine. None for GCS, which uses the "
        "credentials of the environment.",
    )
    lake_secret_key: SecretStr | None = Field(default=None, description="The secret that belongs to the access key.")

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if (self.lake_access_key is None) != (self.lake_secret_key is None):
            raise ValueError("BOOKWHEEL_LAKE_ACCESS_KEY and BOOKWHEEL_LAKE_SECRET_KEY belong together")
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


def load_settings(kind: type[SettingsType]) -> SettingsType:
    """Reads the settings, or exits with status 2 and a line on standard error for each invalid setting."""
    secrets_dir = os.environ.get("BOOKWHEEL_SECRETS_DIR")
    if secrets_dir and not os.access(secrets_dir, os.R_OK | os.X_OK):
        print(f"setting BOOKWHEEL_SECRETS_DIR: {secrets_dir} is not a readable folder", file=sys.stderr)
        raise SystemExit(2)
    try:
        return kind(_secrets_dir=secrets_dir or None)
    except ValidationError as error:
        for fault in error.errors():
            print(_describe(kind, fault), file=sys.stderr)
    except (OSError, UnicodeDecodeError) as error:
        print(f"setting BOOKWHEEL_SECRETS_DIR: a file is not readable: {error}", file=sys.stderr)
    raise SystemExit(2)


def _describe(kind: type[Settings], fault: Mapping[str, Any]) -> str:
    """The setting's name, fault and description, without its value, which may be a secret."""
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        return f"settings: {message}"
    name = str(fault["loc"][0])
    for field_name, field in kind.model_fields.items():
        variable = str(field.validation_alias or f"BOOKWHEEL_{field_name}".upper())
        if name.upper() in {field_name.upper(), variable}:
            return f"setting {variable}: {message}" + (f" ({field.description})" if field.description else "")
    return f"setting {name}: {message}"
