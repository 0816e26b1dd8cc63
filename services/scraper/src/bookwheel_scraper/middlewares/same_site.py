"""Requests that the crawl drops on purpose. Their error types keep them out of the run's failed pages."""

from typing import TYPE_CHECKING

from scrapy import Request
from scrapy.downloadermiddlewares.offsite import OffsiteMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import IgnoreRequest

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.robotstxt import RobotParser


class RequestSkippedError(IgnoreRequest):
    """The request leaves the site, exceeds a cap, or comes after a stop request."""


class ForbiddenByRobotsError(IgnoreRequest):
    """The site's robots.txt forbids the request."""


class SameSiteMiddleware(OffsiteMiddleware):
    """Keeps a crawl on its start hosts. Scrapy's own middleware ignores requests with `dont_filter`."""

    def process_request(self, request: Request, spider: "Spider | None" = None) -> None:
        spider = spider or self.crawler.spider
        if spider is not None and not self.should_follow(request, spider):
            raise RequestSkippedError(f"{request.url} is on another site")


class RobotsMiddleware(RobotsTxtMiddleware):
    def process_request_2(self, rp: "RobotParser | None", request: Request) -> None:
        try:
            super().process_request_2(rp, request)
        except IgnoreRequest as error:
            raise ForbiddenByRobotsError(f"robots.txt forbids {request.url}") from error
