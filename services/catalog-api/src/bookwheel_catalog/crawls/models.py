"""API models and query models of sources and crawls."""

from typing import Annotated

from bookwheel_contracts import CrawlRun, RunState
from bookwheel_contracts.model import Contract
from bookwheel_runtime.query_models import QueryModel
from pydantic import AnyHttpUrl, Field


class DeclaredSource(Contract):
    """A source as the scraper declares it."""

    name: str
    title: str
    spider: str
    start_urls: tuple[str, ...]
    schedule: str | None
    requires_start_url: bool


class Source(DeclaredSource):
    """`books` counts the books with an offer of this source."""

    books: int


class SourceList(Contract):
    items: tuple[Source, ...]


class CreateCrawl(Contract):
    source: Annotated[str, Field(min_length=1, max_length=100, description="The name of a declared source.")]
    start_url: Annotated[
        AnyHttpUrl | None, Field(max_length=2000, description="Where to start instead of the source's own pages.")
    ] = None


class CrawlList(Contract):
    items: tuple[CrawlRun, ...]


class CrawlListParameters(QueryModel):
    source: str | None = Field(default=None, max_length=100)
    state: RunState | None = Field(default=None, description="`held` for those that wait for an operator.")
    limit: int = Field(default=20, ge=1, le=100)
