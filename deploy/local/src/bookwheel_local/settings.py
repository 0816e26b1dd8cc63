"""Settings of the one-machine suite. `environment.py` derives the settings of the programs from them."""

from enum import StrEnum
from pathlib import Path
from typing import Literal

from bookwheel_runtime.setting_types import HttpUrl
from bookwheel_runtime.settings import Settings
from pydantic import Field, SecretStr, field_validator


class EngineSet(StrEnum):
    """The engines of records and search index: SQLite and Tantivy, or PostgreSQL and Elasticsearch."""

    EMBEDDED = "embedded"
    CLUSTER = "cluster"


class LakeStore(StrEnum):
    FOLDER = "folder"
    S3 = "s3"


class LocalSettings(Settings):
    """The one-machine suite."""

    port_base: int = Field(
        default=8080,
        ge=1024,
        le=65_000,
        description="The gateway's port. The suite's other ports follow it. Each checkout needs its own port base.",
    )
    demo_books: int = Field(default=1000, ge=1, le=100_000, description="Number of books in the demo shop.")
    demo_seed: int = Field(
        default=1588, ge=0, description="Seed of the demo shop. The same seed generates the same shop."
    )
    url: HttpUrl | None = Field(
        default=None, description="URL of another suite, which `make status` shows instead of this machine's."
    )
    token: SecretStr | None = Field(
        default=None, description="Access token or API key with the scope `admin` for that suite."
    )
    start_seconds: float = Field(
        default=240, gt=0, description="How long `make up` waits until all programs are ready."
    )

    engines: EngineSet = Field(
        default=EngineSet.EMBEDDED,
        description="`embedded`: SQLite and Tantivy. `cluster`: PostgreSQL and Elasticsearch. "
        "Saved at the first start of a state folder.",
    )
    lake: LakeStore = Field(
        default=LakeStore.FOLDER,
        description="`folder`, or `s3` for the suite's own MinIO. Saved at the first start.",
    )
    elasticsearch_heap: str = Field(
        default="512m", pattern=r"^[1-9]\d*[mg]$", description="Memory of Elasticsearch's heap, such as `512m` or `2g`."
    )
    elasticsearch_options: str = Field(default="", description="More options of Elasticsearch's Java virtual machine.")

    redis_appendfsync: Literal["always", "everysec", "no"] = Field(
        default="everysec",
        description="When Redis flushes its file to the disk. Possible losses: docs/runbooks/redis-durability.md.",
    )

    @field_validator("state_dir")
    @classmethod
    def absolute(cls, folder: Path) -> Path:
        return folder.absolute()
