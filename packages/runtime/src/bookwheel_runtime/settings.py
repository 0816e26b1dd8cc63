"""Settings come from the environment, are checked once at start, and are immutable after it."""

import sys
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Base of every service's settings: each field `x` is read from `BOOKWHEEL_X`, or from its alias."""

    model_config = SettingsConfigDict(env_prefix="BOOKWHEEL_", frozen=True, extra="ignore", populate_by_name=True)

    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="Least level logged.")
    state_dir: Path = Field(
        default=Path(".bookwheel"), description="Folder of data, logs and secrets of a one-machine suite."
    )

    @property
    def data_dir(self) -> Path:
        return self.state_dir / "data"


SettingsType = TypeVar("SettingsType", bound=Settings)


def load_settings(kind: type[SettingsType]) -> SettingsType:
    """Reads the environment, or ends the process with status 2 and a line for each setting that is wrong."""
    try:
        return kind()
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(str(part) for part in fault["loc"]).upper()
            name = name if name.startswith(("BOOKWHEEL_", "MLFLOW_")) else f"BOOKWHEEL_{name}"
            print(f"setting {name}: {fault['msg']}", file=sys.stderr)
        raise SystemExit(2) from None
