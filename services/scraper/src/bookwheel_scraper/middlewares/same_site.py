"""Requests that are not made, and say so by their type, so that a run does not count them as failed pages."""

from typing import TYPE_CHECKING

from scrapy import Request
from scrapy.downloadermiddlewares.offsite import OffsiteMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import IgnoreRequest

if TYPE_CHECKING:
    from scrapy import Spider
    from scrapy.robotstxt import RobotParser


class RequestSkippedError(IgnoreRequest):
    """Not asked for, on purpose: another site, a cap, a crawl that ends."""


class ForbiddenByRobotsError(IgnoreRequest):
    """The site's robots.txt asks not to."""


class SameSiteMiddleware(OffsiteMiddleware):
    """Keeps a crawl on the hosts it started at. Scrapy's lets unfiltered requests (`dont_filter`) go anywhere."""

    def process_request(self, request: Request, spider: "Spider | None" = None) -> None:
        spider = spider or self.crawler.spider
        if spider is not None and not self.should_follow(request, spider):
            raise RequestSkippedError(f"{request.url} is another site")


class RobotsMiddleware(RobotsTxtMiddleware):
    def process_request_2(self, rp: "RobotParser | None", request: Request) -> None:
        try:
            super().process_request_2(rp, request)
        except IgnoreRequest as error:
            raise ForbiddenByRobotsError(f"robots.txt forbids {request.url}") from error
