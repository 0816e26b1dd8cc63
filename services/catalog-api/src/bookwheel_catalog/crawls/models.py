"""API models and query parameters of sources and crawls."""

from typing import Annotated

from bookwheel_contracts import CrawlRun, Hold, HoldExamples, PageOutcome, RunState
from bookwheel_contracts.model import Contract
from bookwheel_runtime.query_models import QueryModel
from pydantic import AnyHttpUrl, Field


class DeclaredSource(Contract):
    """A source that the scraper declared."""

    name: str
    title: str
    spider: str
    start_urls: tuple[str, ...]
    schedule: str | None
    requires_start_url: bool


class Source(DeclaredSource):
    """A declared source. `books` is the number of books that it offers."""

    books: int


class SourceList(Contract):
    items: tuple[Source, ...]


class CreateCrawl(Contract):
    source: Annotated[str, Field(min_length=1, max_length=100, description="The name of a declared source.")]
    start_url: Annotated[
        AnyHttpUrl | None,
        Field(max_length=2000, description="The URL to start at instead of the source's own start URLs."),
    ] = None


class CrawlList(Contract):
    items: tuple[CrawlRun, ...]


class CrawlListParameters(QueryModel):
    source: str | None = Field(default=None, max_length=100)
    state: RunState | None = Field(
        default=None, description="Return only crawls in this state. A `held` crawl waits for an operator's decision."
    )
    limit: int = Field(default=20, ge=1, le=100)


class CrawlPage(Contract):
    """A page of a crawl. `number` counts the pages of the crawl from 1."""

    number: int
    url: str
    outcome: PageOutcome
    reason: str | None
    position: str | None


class CrawlPageList(Contract):
    """Pages of a crawl in the order of their fetching; pass `next` as `after` for the following ones."""

    items: tuple[CrawlPage, ...]
    next: int | None


class CrawlPageParameters(QueryModel):
    outcome: PageOutcome | None = Field(default=None, description="Return only pages with this outcome.")
    after: int = Field(default=0, ge=0, lt=1 << 62, description="The `next` value of the previous page.")
    limit: int = Field(default=100, ge=1, le=1000)


class CrawlHold(Contract):
    """Why a crawl is held, and examples of what it would add, change and remove."""

    run_id: str
    hold: Hold
    examples: HoldExamples
