"""A source is a small TOML file: a spider, start URLs, politeness and caps."""

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from string import Template
from typing import Annotated

from bookwheel_contracts import Expectations
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader

from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.schedules import Schedule, parse_schedule
from bookwheel_scraper.sources.sites import site_of

SPIDER_MODULE = "bookwheel_scraper.spiders"
"""Every spider class below this package can be named in a declaration."""


def _require_host(url: str) -> str:
    site_of(url)
    return url


WebUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s]*$", max_length=2000), AfterValidator(_require_host)]


class DeclarationError(Exception):
    """A source's file is invalid; the text names the file and each field."""


class DeclarationModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Politeness(DeclarationModel):
    """`delay` in seconds between requests to one host; `concurrency` per host."""

    delay: float = Field(default=0.5, ge=0)
    concurrency: int = Field(default=2, ge=1, le=64)
    autothrottle: bool = True
    obey_robots: bool = True


class Caps(DeclarationModel):
    """Upper bounds of a run over all its attempts.

    Sizes are in bytes. `pages` counts every request except robots.txt; `seconds` counts from the run's first start.
    """

    pages: int = Field(default=100_000, ge=1)
    page_bytes: int = Field(default=4_000_000, ge=1)
    total_bytes: int = Field(default=10_000_000_000, ge=1)
    seconds: float = Field(default=6 * 3600, gt=0)


class Source(DeclarationModel):
    """`private_addresses` allows the declared start URLs in a private network, but not the start URL of a request.

    `expect` holds the expectations that the processor checks for runs of the declared sites.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    title: str = Field(min_length=1, max_length=200)
    spider: str
    start_urls: tuple[WebUrl, ...] = ()
    schedule: str | None = None
    private_addresses: bool = False
    politeness: Politeness = Politeness()
    caps: Caps = Caps()
    expect: Expectations = Expectations()

    @field_validator("spider")
    @classmethod
    def _check_spider(cls, name: str) -> str:
        if name not in spider_names():
            raise ValueError(f"there is no spider {name!r}; the spiders are {', '.join(spider_names())}")
        return name

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, text: str | None) -> str | None:
        if text is not None:
            parse_schedule(text)
        return text

    @property
    def latest_due(self) -> Schedule | None:
        return parse_schedule(self.schedule) if self.schedule is not None else None

    def undeclared_site(self, start_url: str) -> str | None:
        """The site of the URL; None when it is one of the declared sites."""
        site = site_of(start_url)
        return None if site in map(site_of, self.start_urls) else site

    @property
    def requires_start_url(self) -> bool:
        return not self.start_urls


@cache
def spider_names() -> tuple[str, ...]:
    return tuple(sorted(SpiderLoader.from_settings(Settings({"SPIDER_MODULES": [SPIDER_MODULE]})).list()))


def parse_declaration(text: str, *, file: str, variables: dict[str, str]) -> Source:
    """Parses one source from TOML after replacing `${name}` by `variables`. Raises DeclarationError."""
    try:
        return Source.model_validate(tomllib.loads(Template(text).substitute(variables)))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise DeclarationError(f"{file}: {problems}") from None
    except (KeyError, ValueError) as error:
        raise DeclarationError(f"{file}: {error}") from None


def declared_sources(settings: ScraperSettings) -> dict[str, Source]:
    """All sources by name. The operator's declarations replace built-in ones of the same name."""
    variables = {"demo_shop_url": settings.demo_shop_url.rstrip("/") + "/"}
    sources: dict[str, Source] = {}
    for file, text in _declaration_files(settings):
        source = parse_declaration(text, file=file, variables=variables)
        sources[source.name] = source
    return dict(sorted(sources.items()))


def _declaration_files(settings: ScraperSettings) -> Iterator[tuple[str, str]]:
    """Names and texts: the built-in declarations, then those of the operator's folder."""
    for entry in resources.files("bookwheel_scraper.sources").iterdir():
        if entry.name.endswith(".toml"):
            yield entry.name, entry.read_text("utf-8")
    if settings.scraper_sources_dir is not None:
        if not settings.scraper_sources_dir.is_dir():
            raise DeclarationError(f"{settings.scraper_sources_dir} is not a folder")
        for path in sorted(settings.scraper_sources_dir.glob("*.toml")):
            yield str(path), path.read_text("utf-8")
