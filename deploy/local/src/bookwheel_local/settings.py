"""Settings of the one-machine suite. The programs' own settings are derived from them (`environment.py`)."""

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
        description="The gateway's port; the suite's other ports follow it. Another checkout needs another one.",
    )
    demo_books: int = Field(default=1000, ge=1, le=100_000, description="Number of books in the demo shop.")
    demo_seed: int = Field(default=1588, ge=0, description="Seed of the demo shop: the same seed is the same shop.")
    url: HttpUrl | None = Field(
        default=None, description="Address of a suite elsewhere, for `make status` to ask in place of this machine's."
    )
    token: SecretStr | None = Field(
        default=None, description="Access token or API key with the scope `admin`, for `make status` to ask there."
    )
    start_seconds: float = Field(
        default=240, gt=0, description="How long `make up` waits for all programs to be ready before it gives up."
    )

    engines: EngineSet = Field(
        default=EngineSet.EMBEDDED,
        description="`embedded`: SQLite and Tantivy. `cluster`: PostgreSQL and Elasticsearch. "
        "Chosen at a state folder's first start and remembered in it.",
    )
    lake: LakeStore = Field(
        default=LakeStore.FOLDER,
        description="`folder`, or `s3`: a MinIO of the suite's own. Remembered like the engines.",
    )
    elasticsearch_heap: str = Field(
        default="512m", pattern=r"^[1-9]\d*[mg]$", description="Memory of Elasticsearch's heap, such as `512m` or `2g`."
    )
    elasticsearch_options: str = Field(default="", description="More options of Elasticsearch's Java machine.")

    redis_appendfsync: Literal["always", "everysec", "no"] = Field(
        default="everysec",
        description="When Redis' file reaches the disk; docs/runbooks/redis-durability.md says what each can lose.",
    )

    @field_validator("state_dir")
    @classmethod
    def absolute(cls, folder: Path) -> Path:
        return folder.absolute()
