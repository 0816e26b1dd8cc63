"""Settings of the scraper. No other module of this service reads the environment."""

from importlib.metadata import version
from pathlib import Path
from typing import Literal

from bookwheel_runtime.setting_types import HttpUrl, RedisUrl
from bookwheel_runtime.settings import HealthSettings
from pydantic import Field


class ScraperSettings(HealthSettings):
    redis_url: RedisUrl = Field(default="redis://127.0.0.1:8084/0", description="Redis with the suite's streams.")
    demo_shop_url: HttpUrl = Field(
        default="http://127.0.0.1:8085/", description="URL of the demo shop: the start URL of its two sources."
    )
    scraper_sources_dir: Path | None = Field(
        default=None,
        description="Folder with source declarations (*.toml). They replace built-in ones of the same name.",
    )
    scraper_private_addresses: Literal["allow", "deny"] = Field(
        default="deny",
        description="Whether crawls can connect to loopback, private and other non-public IP addresses.",
    )
    scraper_contact: str = Field(
        default="/about/bot", description="Contact of the operator in the user agent: a URL or an email address."
    )
    scraper_crawls: int = Field(default=2, ge=1, le=64, description="Maximum number of crawls at a time.")
    scraper_attempts: int = Field(default=10, ge=1, description="Maximum attempts of a run whose crawl process dies.")
    scraper_stream_limit: int = Field(
        default=20_000, ge=1, description="Maximum length of the raw stream. While it is longer, crawls do not publish."
    )
    scraper_claim_seconds: float = Field(
        default=15.0, gt=0, description="Seconds after which another scraper claims the crawl of a dead scraper."
    )
    scraper_stop_seconds: float = Field(
        default=6.0, gt=0, description="Seconds that a stopped crawl waits for open requests, and then for Redis."
    )
    scraper_when_stopped: Literal["end", "hand-over"] = Field(
        default="end",
        description="Effect of a stop on crawls: they end as partial (`end`), or another scraper continues them "
        "(`hand-over`).",
    )

    @property
    def user_agent(self) -> str:
        return f"Bookwheel/{version('bookwheel-scraper')} (+{self.scraper_contact})"
