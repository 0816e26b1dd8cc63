"""The base class of all contracts."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer

MAX_KEY_LENGTH = 512


class Contract(BaseModel):
    """Instances are immutable. Unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@lru_cache(maxsize=4096)
def format_time(moment: datetime) -> str:
    """Formats a time as RFC 3339 in UTC with milliseconds: `2026-01-31T08:15:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[AwareDatetime, PlainSerializer(format_time, return_type=str, when_used="json")]
