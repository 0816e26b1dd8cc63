"""The base class of all spiders: requests the start URLs, stays on their hosts, and records failed pages."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from bookwheel_contracts import FetchedPage, PageOutcome
from bookwheel_extraction.pages import PageResult
from scrapy import Request, Spider
from scrapy.exceptions import IgnoreRequest
from scrapy.http import HtmlResponse, Response
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from bookwheel_scraper.crawl.context import CrawlContext
from bookwheel_scraper.middlewares.same_site import ForbiddenByRobotsError, RequestSkippedError
from bookwheel_scraper.publishing.item_messages import ScrapedBook, build_page

SpiderOutput = Iterator[ScrapedBook | Request | FetchedPage]
"""A spider yields one FetchedPage for each page."""
PageParser = Callable[[HtmlResponse], SpiderOutput]
_MISSING_PAGE_STATUSES = frozenset({404, 410})


class BookSpider(Spider):
    """Subclasses set `name`, implement `parse_start` and create further requests with `request`."""

    def __init__(self, *, context: CrawlContext, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.context = context
        hosts = {urlsplit(url).hostname or "" for url in context.start_urls}
        self.allowed_domains = sorted(host.removeprefix("www.") for host in hosts)

    async def start(self) -> AsyncIterator[Request]:
        for url in self.context.start_urls:
            yield self.request(url, self.parse_start, is_start=True)

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        raise NotImplementedError

    def read_page(self, response: HtmlResponse) -> PageResult:
        """Reads the outcome and the books of a page without following its links."""
        raise NotImplementedError

    def request(self, url: str, parser: PageParser, *, filtered: bool = True, is_start: bool = False) -> Request:
        """Builds a request for a page. With `filtered`, Scrapy drops it if the URL was requested before."""
        return Request(
            url,
            callback=self.parse,
            errback=self.record_failure,
            cb_kwargs={"parser": parser},
            dont_filter=not filtered,
            meta={"is_start": is_start},
        )

    def parse(self, response: Response, **kwargs: Any) -> SpiderOutput:
        if not isinstance(response, HtmlResponse):  # a link can lead to an image or a PDF
            content_type = (response.headers.get("Content-Type") or b"none").decode("latin-1")
            reason = f"the content type is {content_type}"
            self.context.publisher.record_page(build_page(response.url, PageOutcome.OTHER, reason=reason))
            return
        parser: PageParser = kwargs["parser"]
        # A page with an error in the middle has the outcome `failed` only, see `crawl.scrapy_runner`.
        for output in list(parser(response)):
            if isinstance(output, FetchedPage):
                self.context.publisher.record_page(output)
            else:
                yield output

    def record_failure(self, failure: Failure) -> None:
        """Records a page that could not be fetched.

        A missing or forbidden page is not an error, except for a start page. A skipped page is not a page of the run.
        """
        error = failure.value
        request: Request = failure.request  # type: ignore[attr-defined]  # set by Scrapy for errbacks
        if not request.meta["is_start"] and isinstance(error, RequestSkippedError | ForbiddenByRobotsError):
            return
        if not request.meta["is_start"] and isinstance(error, HttpError) and _is_missing(error):
            reason = f"the server returned status {error.response.status}"
            self.context.publisher.record_page(build_page(request.url, PageOutcome.OTHER, reason=reason))
            return
        if isinstance(error, HttpError):
            message = f"{request.url} returned status {error.response.status}"
        elif urlsplit(request.url).hostname in self.context.blocked_hosts:
            message = (
                f"{request.url} is in a private network: set BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES=allow to crawl it"
            )
        elif isinstance(error, IgnoreRequest):
            message = str(error)
        else:
            message = f"{request.url}: {type(error).__name__}: {error}"
        self.context.record_failed_page(request.url, message)


def _is_missing(error: HttpError) -> bool:
    return error.response.status in _MISSING_PAGE_STATUSES
