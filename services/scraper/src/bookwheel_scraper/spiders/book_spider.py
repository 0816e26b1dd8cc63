"""What every spider shares: it starts at the run's addresses, stays on their hosts and accounts for failed pages."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request, Spider
from scrapy.exceptions import IgnoreRequest
from scrapy.http import HtmlResponse, Response
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from bookwheel_scraper.crawl.context import CrawlContext
from bookwheel_scraper.middlewares.same_site import ForbiddenByRobotsError, RequestSkippedError
from bookwheel_scraper.publishing.envelopes import ScrapedBook

SpiderOutput = Iterator[ScrapedBook | Request]
PageParser = Callable[[HtmlResponse], SpiderOutput]
_GONE = frozenset({404, 410})


class BookSpider(Spider):
    """Subclasses name themselves and implement `parse_start`, and ask for further pages by `request`."""

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

    def request(self, url: str, parser: PageParser, *, filtered: bool = True, is_start: bool = False) -> Request:
        """A request for a page; `filtered` leaves out addresses that were asked for before."""
        return Request(
            url,
            callback=self.parse,
            errback=self.note_failure,
            cb_kwargs={"parser": parser},
            dont_filter=not filtered,
            meta={"is_start": is_start},
        )

    def parse(self, response: Response, **kwargs: Any) -> SpiderOutput:
        if isinstance(response, HtmlResponse):  # an image or a PDF behind a link is not a page
            parser: PageParser = kwargs["parser"]
            yield from parser(response)

    def note_failure(self, failure: Failure) -> None:
        """Counts a page that was to be fetched and could not. A missing or forbidden page is the shop's answer and no
        error, except where the crawl was to start."""
        error = failure.value
        request: Request = failure.request  # type: ignore[attr-defined]  # set by Scrapy for errbacks
        is_start = request.meta["is_start"]
        if isinstance(error, RequestSkippedError) and not is_start:
            return
        if isinstance(error, ForbiddenByRobotsError) and not is_start:
            return
        if isinstance(error, HttpError):
            if error.response.status in _GONE and not is_start:
                return
            text = f"{request.url} answered {error.response.status}"
        elif urlsplit(request.url).hostname in self.context.refused_hosts:
            text = f"{request.url} is in a network that crawls may not enter"
        elif isinstance(error, IgnoreRequest):
            text = str(error)
        else:
            text = f"{request.url}: {type(error).__name__}: {error}"
        self.context.note_error(text)
