"""Loads source declarations: TOML files with a spider, start URLs, politeness and limits."""

import re
import tomllib
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from importlib import resources
from string import Template
from typing import Annotated
from urllib.parse import urlsplit

from bookwheel_contracts import Expectations
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader

from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.schedules import parse_schedule

SPIDER_MODULE = "bookwheel_scraper.spiders"
"""The package with the spiders. A declaration refers to a spider by its `name`."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SITE = re.compile(r"[a-z0-9._:\[\]-]{1,260}")


def get_site(url: str) -> str:
    """Returns the host in lower case without `www.`; a port is added unless it is the scheme's default.

    Example: `127.0.0.1:8085`. The scheme is not part of the site. Raises ValueError for a URL without a host.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode("ascii").rstrip(".").removeprefix("www.")
    if ":" in host:
        host = f"[{host}]"
    site = host if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"
    if not host or _SITE.fullmatch(site) is None:
        raise ValueError(f"{url!r} has no host")
    return site


def _require_host(url: str) -> str:
    get_site(url)
    return url


WebUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s]*$", max_length=2000), AfterValidator(_require_host)]


class DeclarationError(Exception):
    """A source declaration is invalid; the error message names the file and each invalid field."""


class DeclarationModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Politeness(DeclarationModel):
    """`delay` in seconds between requests to one host; `concurrency` per host."""

    delay: float = Field(default=0.5, ge=0)
    concurrency: int = Field(default=2, ge=1, le=64)
    autothrottle: bool = True
    obey_robots: bool = True


class CrawlLimits(DeclarationModel):
    """Limits of a run, over all its attempts.

    Sizes are in bytes. `pages` limits the requests, except for robots.txt. `seconds` starts at the run's first start.
    """

    pages: int = Field(default=100_000, ge=1)
    page_bytes: int = Field(default=4_000_000, ge=1)
    total_bytes: int = Field(default=10_000_000_000, ge=1)
    seconds: float = Field(default=6 * 3600, gt=0)


class Source(DeclarationModel):
    """A source declaration.

    `private_addresses` allows crawls of the declared start URLs in a private network. It does not apply to the start
    URL of a crawl request. The processor checks `expect` for runs of the declared sites. `caps` limits a run.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    title: str = Field(min_length=1, max_length=200)
    spider: str
    start_urls: tuple[WebUrl, ...] = ()
    schedule: str | None = None
    private_addresses: bool = False
    politeness: Politeness = Politeness()
    caps: CrawlLimits = CrawlLimits()
    expect: Expectations = Expectations()

    @field_validator("spider")
    @classmethod
    def _check_spider(cls, name: str) -> str:
        if name not in spider_names():
            raise ValueError(f"unknown spider {name!r}; available spiders: {', '.join(spider_names())}")
        return name

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, text: str | None) -> str | None:
        if text is not None:
            parse_schedule(text)
        return text

    def latest_due_time(self, now: datetime) -> datetime | None:
        """Returns the latest due time at or before `now`; None for a source without a schedule."""
        return parse_schedule(self.schedule)(now) if self.schedule is not None else None

    def undeclared_site(self, start_url: str) -> str | None:
        """Returns the site of the URL; None if it is one of the declared sites."""
        site = get_site(start_url)
        return None if site in map(get_site, self.start_urls) else site

    @property
    def requires_start_url(self) -> bool:
        return not self.start_urls


@cache
def spider_names() -> tuple[str, ...]:
    return tuple(sorted(SpiderLoader.from_settings(Settings({"SPIDER_MODULES": [SPIDER_MODULE]})).list()))


def parse_declaration(text: str, *, file: str, variables: dict[str, str]) -> Source:
    """Replaces `${name}` by the value in `variables` and parses the TOML. Raises DeclarationError."""
    try:
        return Source.model_validate(tomllib.loads(Template(text).substitute(variables)))
    except ValidationError as error:
        messages = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise DeclarationError(f"{file}: {messages}") from None
    except (KeyError, ValueError) as error:
        raise DeclarationError(f"{file}: {error}") from None


def load_sources(settings: ScraperSettings) -> dict[str, Source]:
    """Returns all sources by name. An operator's declaration replaces a built-in one with the same name.

    Raises DeclarationError.
    """
    variables = {"demo_shop_url": settings.demo_shop_url.rstrip("/") + "/"}
    sources: dict[str, Source] = {}
    for file, text in _read_declarations(settings):
        source = parse_declaration(text, file=file, variables=variables)
        sources[source.name] = source
    return dict(sorted(sources.items()))


def _read_declarations(settings: ScraperSettings) -> Iterator[tuple[str, str]]:
    """Yields file names and contents: first the built-in declarations, then the operator's."""
    for entry in resources.files("bookwheel_scraper.sources").iterdir():
        if entry.name.endswith(".toml"):
            yield entry.name, entry.read_text("utf-8")
    if settings.scraper_sources_dir is not None:
        if not settings.scraper_sources_dir.is_dir():
            raise DeclarationError(f"{settings.scraper_sources_dir} is not a folder")
        for path in sorted(settings.scraper_sources_dir.glob("*.toml")):
            yield str(path), path.read_text("utf-8")
