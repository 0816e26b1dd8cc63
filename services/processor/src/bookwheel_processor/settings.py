"""What the processor is told by its environment."""

from typing import Literal

from bookwheel_runtime.setting_types import DatabaseUrl, RedisUrl, SearchUrl
from bookwheel_runtime.settings import HealthSettings, LakeSettings
from pydantic import Field

from bookwheel_processor.ingest.approval import HoldPolicy


class ProcessorSettings(LakeSettings, HealthSettings):
    database_url: DatabaseUrl = Field(
        default="sqlite:///.bookwheel/data/bookwheel.sqlite", description="Where the records are kept."
    )
    search_url: SearchUrl = Field(
        default="tantivy:///var/lib/bookwheel/index",
        description="The search index that changes are projected to: a Tantivy folder, or "
        "`elasticsearch[+https]://[user:password@]host:port[/prefix]`.",
    )
    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:8084/0", description="The Redis of the streams, the cache and Celery's messages."
    )
    ingest_batch: int = Field(default=500, ge=1, le=10_000, description="Stream entries in one transaction.")
    ingest_workers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Ingests at once on this machine; on SQLite, with its one writer, always 1.",
    )
    projection_batch: int = Field(default=5000, ge=1, le=50_000, description="Changes in one commit of the index.")
    claim_after: float = Field(
        default=30.0, gt=0, description="Seconds after which another worker's unfinished entries are taken over."
    )
    receipt_days: int = Field(
        default=14, ge=1, description="Days for which the items of ended runs are known again when delivered twice."
    )
    prediction_days: int = Field(default=90, ge=1, description="Days after which stored predictions are deleted.")
    settle_after: float = Field(
        default=600.0,
        gt=0,
        description="Seconds after which a run is closed whose missing items, or whose end, wait nowhere any more.",
    )
    export_interval: float = Field(
        default=600.0,
        ge=0,
        description="Least seconds between the versions for download that complete crawls bring about; 0 for none.",
    )
    exports_kept: int = Field(default=100, ge=1, description="Versions for download that are kept; older ones go.")
    hold_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of a source's offers that a run may modify or remove: one that would more is held.",
    )
    hold_floor: int = Field(default=20, ge=0, description="A run of a source with fewer offers is not held for that.")
    grace_runs: int = Field(
        default=2, ge=1, le=100, description="Complete runs in a row that miss an offer before it is removed."
    )
    stalled_after: float = Field(
        default=120.0, gt=0, description="Seconds without progress after which the worker is restarted or unhealthy."
    )
    webhook_private_addresses: Literal["allow", "deny"] = Field(
        default="deny",
        description="Whether webhooks may be sent to loopback, private and other addresses that are not of the "
        "internet, and without TLS.",
    )
    webhook_timeout: float = Field(default=10.0, gt=0, le=60, description="Seconds that a webhook's receiver has.")
    webhook_first_pause: float = Field(
        default=5.0, gt=0, description="Seconds before a delivery is tried again; twice as long each time."
    )
    webhook_max_age: float = Field(
        default=86_400.0, gt=0, description="Seconds after which a delivery is given up and its webhook disabled."
    )

    @property
    def hold_policy(self) -> HoldPolicy:
        return HoldPolicy(self.hold_share, self.hold_floor, self.grace_runs)
