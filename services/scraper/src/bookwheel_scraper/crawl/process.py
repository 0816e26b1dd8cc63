"""One crawl in a process of its own: `python -m bookwheel_scraper.crawl.process --request JSON [--parent PID]`.

A crash or a leak of a crawl never hurts the service, and Twisted's reactor, which cannot start twice, need not.
"""

import argparse
import asyncio
import os
import signal
import threading
import time
from typing import Any

from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_runtime.logs import configure_logs, get_logger
from bookwheel_runtime.settings import load_settings
from bookwheel_runtime.traces import traced
from scrapy.utils.reactor import install_reactor

from bookwheel_scraper.crawl.context import Stop
from bookwheel_scraper.crawl.run import CrawlRun
from bookwheel_scraper.settings import ScraperSettings

logger = get_logger(__name__)
_CRASHED = 1


async def run(request: CrawlRequest, settings: ScraperSettings) -> int:
    """Crawls and publishes; the exit status."""
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: stop.wish("the scraper was stopped", urgent=True))
    with traced(request.traceparent) as traceparent:
        try:
            return await CrawlRun(request, settings, stop, traceparent).run()
        except Exception:  # the one place where a bug becomes a status, by which the service tries again
            logger.exception("crawl crashed", run_id=request.run_id)
            return _CRASHED


def die_with(parent: int) -> None:
    """Ends this process at once when the service that started it has died: the run is then due for another attempt,
    which this one must not compete with."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(_CRASHED)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def crawl_reactor() -> Any:
    """Twisted's asyncio reactor, on the clock that nobody sets. By its own, the wall clock, a crawl stood still for an
    hour where that was set back by one.
    """
    install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
    from twisted.internet import reactor  # noqa: PLC0415 - importing it would install another reactor

    installed: Any = reactor
    installed.seconds = time.monotonic
    return installed


def main() -> int:
    parser = argparse.ArgumentParser(prog="bookwheel_scraper.crawl.process")
    parser.add_argument("--request", required=True, type=CrawlRequest.model_validate_json, help="CrawlRequest as JSON")
    parser.add_argument("--parent", type=int, help="process without which this one ends")
    arguments = parser.parse_args()
    settings = load_settings(ScraperSettings)
    configure_logs("scraper", settings.log_level)
    if arguments.parent is not None:
        die_with(arguments.parent)
    reactor = crawl_reactor()
    statuses: list[int] = []

    async def run_and_stop() -> None:
        statuses.append(await run(arguments.request, settings))
        reactor.stop()

    reactor.callWhenRunning(lambda: asyncio.ensure_future(run_and_stop()))
    reactor.run(installSignalHandlers=False)
    return statuses[0]


if __name__ == "__main__":
    # At once, for pages that were let go may be under way still: they must not hold the process up.
    os._exit(main())
