"""Drops requests to other sites and requests that robots.txt forbids.

Both have their own error types, so that the run does not count them as failed pages.
"""

from typing import TYPE_CHECKING

from scrapy import Request
from scrapy.downloadermiddlewares.offsite import OffsiteMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import IgnoreRequest

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.robotstxt import RobotParser


class RequestSkippedError(IgnoreRequest):
    """The URL is on another site, the run has reached a limit, or the crawl is stopping."""


class ForbiddenByRobotsError(IgnoreRequest):
    """The site's robots.txt forbids the request."""


class SameSiteMiddleware(OffsiteMiddleware):
    """Drops requests to hosts that are not start hosts.

    Scrapy's middleware does not check requests with `dont_filter`.
    """

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
