"""Settings of the processor."""

from typing import Literal

from bookwheel_runtime.setting_types import DatabaseUrl, RedisUrl, SearchUrl
from bookwheel_runtime.settings import HealthSettings, LakeSettings
from pydantic import Field

from bookwheel_processor.ingest.approval import HoldPolicy


class ProcessorSettings(LakeSettings, HealthSettings):
    database_url: DatabaseUrl = Field(
        default="sqlite:///.bookwheel/data/bookwheel.sqlite", description="Database of the records."
    )
    search_url: SearchUrl = Field(
        default="tantivy:///var/lib/bookwheel/index",
        description="Search index: a Tantivy folder, or `elasticsearch[+https]://[user:password@]host:port[/prefix]`.",
    )
    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:8084/0", description="Redis of the streams, the cache and Celery's messages."
    )
    ingest_batch: int = Field(default=500, ge=1, le=10_000, description="Stream entries in one transaction.")
    ingest_workers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Concurrent ingest jobs on this machine; always 1 on SQLite, which has one writer.",
    )
    projection_batch: int = Field(default=5000, ge=1, le=50_000, description="Changes in one commit of the index.")
    claim_after: float = Field(
        default=30.0, gt=0, description="Seconds after which a worker claims another worker's unfinished entries."
    )
    receipt_days: int = Field(
        default=14, ge=1, description="Days for which redelivered items of finished runs are recognized."
    )
    page_days: int = Field(
        default=30,
        ge=1,
        description="Days for which the pages of finished runs and the faults of their fields are kept; at least "
        "`receipt_days`.",
    )
    prediction_days: int = Field(default=365, ge=1, description="Days after which stored predictions are deleted.")
    settle_after: float = Field(
        default=600.0,
        gt=0,
        description="Seconds without activity after which a run finishes although items or its finish message are "
        "lost.",
    )
    export_interval: float = Field(
        default=600.0,
        ge=0,
        description="Minimum seconds between exports after complete runs; 0 turns these exports off.",
    )
    exports_kept: int = Field(default=100, ge=1, description="Number of exports to keep; older ones are deleted.")
    hold_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of a source's offers that a run may modify or remove; a run that exceeds it is held.",
    )
    hold_floor: int = Field(
        default=20, ge=0, description="Number of offers of a source below which the share does not apply."
    )
    grace_runs: int = Field(
        default=2, ge=1, le=100, description="Consecutive complete runs that miss an offer before it is removed."
    )
    stalled_after: float = Field(
        default=120.0,
        gt=0,
        description="Seconds without a finished ingest job, while Redis is available, after which an ingest worker is "
        "unhealthy and restarted.",
    )
    webhook_private_addresses: Literal["allow", "deny"] = Field(
        default="deny",
        description="Whether webhooks may be sent to loopback, private and other non-public addresses, and without "
        "TLS.",
    )
    webhook_timeout: float = Field(
        default=10.0, gt=0, le=60, description="Seconds within which a webhook's receiver must answer."
    )
    webhook_first_pause: float = Field(
        default=5.0, gt=0, description="Seconds before the first retry of a delivery; doubled after each attempt."
    )
    webhook_max_age: float = Field(
        default=86_400.0, gt=0, description="Seconds after which a delivery fails for good and its webhook is disabled."
    )

    @property
    def hold_policy(self) -> HoldPolicy:
        return HoldPolicy(self.hold_share, self.hold_floor, self.grace_runs)
