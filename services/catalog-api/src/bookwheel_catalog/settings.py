"""What the catalog service reads from its environment."""

from typing import Literal

from bookwheel_runtime.setting_types import DatabaseUrl, HttpUrl, RedisUrl, SearchUrl
from bookwheel_runtime.settings import LakeSettings
from pydantic import Field

from bookwheel_catalog import DEFAULT_PORT


class CatalogSettings(LakeSettings):
    database_url: DatabaseUrl = Field(description="The records, as an SQLAlchemy URL.")
    search_url: SearchUrl = Field(
        description="The search index: `tantivy:///folder`, or "
        "`elasticsearch[+https]://[user:password@]host:port[/prefix]`."
    )
    redis_url: RedisUrl = Field(description="Redis: cached answers, the index generation, crawl requests.")
    jwks_url: HttpUrl = Field(
        default="http://127.0.0.1:8083/.well-known/jwks.json", description="Where the keys of internal tokens are."
    )
    issuer: str = Field(default="bookwheel", description="Who must have issued an internal token.")
    host: str = Field(default="127.0.0.1", description="The address that the service listens on.")
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535, description="The port that the service listens on.")
    catalog_workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that serve. `make up` starts one for two cores, four at most, where none is given.",
    )
    stream_seconds: float = Field(
        default=300.0, gt=0, description="Seconds after which a change stream ends, so that its credential is checked."
    )
    stream_listeners: int = Field(default=1000, ge=1, description="Listeners to changes that one process takes.")
    stream_listeners_subject: int = Field(
        default=20, ge=1, description="Listeners to changes that one process takes of one user."
    )
    made_downloads: int = Field(
        default=4,
        ge=1,
        description="Deltas and catalogs as of a time that one process makes at once, some 60 MB of memory each.",
    )
    made_downloads_subject: int = Field(default=2, ge=1, description="Such downloads that it makes of one user's.")
    webhook_private_addresses: Literal["allow", "deny"] = Field(
        default="deny",
        description="Whether webhooks may be sent to loopback, private and other addresses that are not of the "
        "internet, and without TLS.",
    )
