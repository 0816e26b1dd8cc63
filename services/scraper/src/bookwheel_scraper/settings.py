"""Settings of the scraper: the one module of this service that reads the environment."""

from importlib.metadata import version
from pathlib import Path
from typing import Literal

from bookwheel_runtime.setting_types import HttpUrl, RedisUrl
from bookwheel_runtime.settings import HealthSettings
from pydantic import Field


class ScraperSettings(HealthSettings):
    redis_url: RedisUrl = Field(default="redis://127.0.0.1:8084/0", description="Redis that holds the suite's streams.")
    demo_shop_url: HttpUrl = Field(
        default="http://127.0.0.1:8085/", description="Where the demo shop answers; its two sources start here."
    )
    scraper_sources_dir: Path | None = Field(
        default=None, description="Folder of further source declarations (*.toml); one of the same name replaces ours."
    )
    scraper_private_addresses: Literal["allow", "deny"] = Field(
        default="deny",
        description="Whether crawls may connect to loopback, private and other addresses that are not of the internet.",
    )
    scraper_contact: str = Field(
        default="/about/bot", description="Page or address in the user agent, by which a shop can reach the operator."
    )
    scraper_crawls: int = Field(default=2, ge=1, le=64, description="Crawls that run at a time.")
    scraper_attempts: int = Field(
        default=10, ge=1, description="How often a crawl whose process dies is started before the run is given up."
    )
    scraper_stream_limit: int = Field(
        default=20_000, ge=1, description="Stream entries above which crawls wait for the processor and the lake."
    )
    scraper_claim_seconds: float = Field(
        default=15.0, gt=0, description="Silence after which a crawl of a dead scraper is taken over by another."
    )
    scraper_stop_seconds: float = Field(
        default=6.0, gt=0, description="How long a crawl that is stopped may wait for the pages under way."
    )
    scraper_when_stopped: Literal["end", "hand-over"] = Field(
        default="end",
        description="What becomes of crawls when the scraper is stopped: they end as partial, or another scraper goes "
        "on with them.",
    )

    @property
    def user_agent(self) -> str:
        return f"Bookwheel/{version('bookwheel-scraper')} (+{self.scraper_contact})"
