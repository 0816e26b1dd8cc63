"""Settings of the catalog service, read from environment variables."""

from typing import Literal

from bookwheel_runtime.setting_types import DatabaseUrl, HttpUrl, RedisUrl, SearchUrl
from bookwheel_runtime.settings import LakeSettings
from pydantic import Field

from bookwheel_catalog import DEFAULT_PORT


class CatalogSettings(LakeSettings):
    database_url: DatabaseUrl = Field(description="The SQLAlchemy URL of the database.")
    search_url: SearchUrl = Field(
        description="The search index: `tantivy:///folder`, or "
        "`elasticsearch[+https]://[user:password@]host:port[/prefix]`."
    )
    redis_url: RedisUrl = Field(description="URL of Redis: response cache, crawl requests, change notifications.")
    jwks_url: HttpUrl = Field(
        default="http://127.0.0.1:8083/.well-known/jwks.json",
        description="The URL of the public keys of internal tokens.",
    )
    issuer: str = Field(default="bookwheel", description="The required issuer of internal tokens.")
    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535, description="The port to listen on.")
    catalog_workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Number of server processes. If it is not set, `make up` starts one per two cores, at most four.",
    )
    stream_seconds: float = Field(
        default=300.0,
        gt=0,
        description="Maximum duration of a change stream in seconds. The client then reconnects with its credential.",
    )
    stream_listeners: int = Field(default=1000, ge=1, description="Maximum number of change listeners per process.")
    stream_listeners_subject: int = Field(
        default=20, ge=1, description="Maximum number of change listeners per user and process."
    )
    made_downloads: int = Field(
        default=4,
        ge=1,
        description="Maximum number of concurrent generated downloads (deltas and snapshots) per process. Each uses "
        "about 60 MB of memory.",
    )
    made_downloads_subject: int = Field(
        default=2, ge=1, description="Maximum number of concurrent generated downloads per user and process."
    )
    webhook_private_addresses: Literal["allow", "deny"] = Field(
        default="deny",
        description="`allow` permits webhook URLs without TLS or with a private, loopback or other local address.",
    )
