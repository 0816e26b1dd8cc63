"""What a source is: a small TOML file that names a spider, where to start and how politely to go."""

import tomllib
from collections.abc import Iterator
from importlib import resources
from string import Template
from typing import Annotated, Literal

from bookwheel_contracts import Expectations
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.schedules import Schedule, parse_schedule
from bookwheel_scraper.sources.sites import site_of


def _with_a_host(url: str) -> str:
    site_of(url)
    return url


WebUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s]*$", max_length=2000), AfterValidator(_with_a_host)]


class DeclarationError(Exception):
    """A source's file is not valid; the text names the file and each field."""


class DeclarationModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Politeness(DeclarationModel):
    """`delay` in seconds between requests to one host; `concurrency` is of one host too."""

    delay: float = Field(default=0.5, ge=0)
    concurrency: int = Field(default=2, ge=1, le=64)
    autothrottle: bool = True
    obey_robots: bool = True


class Caps(DeclarationModel):
    """Where a run ends at the latest, however often it was begun again after a kill. Sizes in bytes; `pages` counts
    every request but that for robots.txt, `seconds` from the run's first start."""

    pages: int = Field(default=100_000, ge=1)
    page_bytes: int = Field(default=4_000_000, ge=1)
    total_bytes: int = Field(default=10_000_000_000, ge=1)
    seconds: float = Field(default=6 * 3600, gt=0)


class Source(DeclarationModel):
    """`private_addresses` lets the declared start URLs, not one given with a request, lie in a private network.
    `expect` is what the processor holds the runs of its own sites to.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    title: str = Field(min_length=1, max_length=200)
    spider: Literal["toscrape", "schema_org"]
    start_urls: tuple[WebUrl, ...] = ()
    schedule: str | None = None
    private_addresses: bool = False
    politeness: Politeness = Politeness()
    caps: Caps = Caps()
    expect: Expectations = Expectations()

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, text: str | None) -> str | None:
        if text is not None:
            parse_schedule(text)
        return text

    @property
    def timetable(self) -> Schedule | None:
        return parse_schedule(self.schedule) if self.schedule is not None else None

    def other_site(self, start_url: str) -> str | None:
        """The site of an address; None where it is one of those that the source declares."""
        site = site_of(start_url)
        return None if site in map(site_of, self.start_urls) else site

    @property
    def requires_start_url(self) -> bool:
        return not self.start_urls


def read_declaration(text: str, *, file: str, places: dict[str, str]) -> Source:
    """One source from TOML in which `${name}` stands for an address of `places`. Raises BadDeclaration."""
    try:
        return Source.model_validate(tomllib.loads(Template(text).substitute(places)))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise DeclarationError(f"{file}: {faults}") from None
    except (KeyError, ValueError) as error:
        raise DeclarationError(f"{file}: {error}") from None


def declared_sources(settings: ScraperSettings) -> dict[str, Source]:
    """All sources by name: ours, then those of the operator's folder, which replace ours of the same name."""
    places = {"demo_shop_url": settings.demo_shop_url.rstrip("/") + "/"}
    found: dict[str, Source] = {}
    for folder in _folders(settings):
        for file, text in folder:
            source = read_declaration(text, file=file, places=places)
            found[source.name] = source
    return dict(sorted(found.items()))


def _folders(settings: ScraperSettings) -> Iterator[list[tuple[str, str]]]:
    ours = resources.files("bookwheel_scraper") / "sources"
    yield [(entry.name, entry.read_text("utf-8")) for entry in ours.iterdir() if entry.name.endswith(".toml")]
    if settings.scraper_sources_dir is not None:
        if not settings.scraper_sources_dir.is_dir():
            raise DeclarationError(f"{settings.scraper_sources_dir} is not a folder")
        yield [(str(path), path.read_text("utf-8")) for path in sorted(settings.scraper_sources_dir.glob("*.toml"))]
