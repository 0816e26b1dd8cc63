"""Runs one crawl in a separate process: `python -m bookwheel_scraper.crawl.process --request JSON [--parent PID]`.

A crash or a memory leak in a crawl does not affect the service. Twisted's reactor can start only once per process.
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

from bookwheel_scraper.crawl.context import StopSignal
from bookwheel_scraper.crawl.run import CrawlRun
from bookwheel_scraper.settings import ScraperSettings

logger = get_logger(__name__)
CANCEL_SIGNAL = signal.SIGUSR1
_CRASHED = 1


async def run(request: CrawlRequest, settings: ScraperSettings) -> int:
    """Runs the crawl and returns the exit status."""
    stop_signal = StopSignal()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(
            signal_number, lambda: stop_signal.request("the scraper was stopped", limit_wait_for_redis=True)
        )
    asyncio.get_running_loop().add_signal_handler(CANCEL_SIGNAL, stop_signal.cancel)
    with traced(request.traceparent) as traceparent:
        try:
            return await CrawlRun(request, settings, stop_signal, traceparent).run()
        except Exception:  # the exit status makes the service start another attempt
            logger.exception("crawl crashed", run_id=request.run_id)
            return _CRASHED


def exit_with_parent(parent_pid: int) -> None:
    """Ends this process when its parent dies, so that two attempts of a run do not crawl at the same time."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(0.5)
        os._exit(_CRASHED)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def install_monotonic_reactor() -> Any:
    """Installs Twisted's asyncio reactor with a monotonic clock.

    Twisted uses the wall clock by default. If that clock is set back by an hour, timers stop for an hour.
    """
    install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
    from twisted.internet import reactor  # noqa: PLC0415 - an import before `install_reactor` would install the default reactor

    monotonic_reactor: Any = reactor
    monotonic_reactor.seconds = time.monotonic
    return monotonic_reactor


def main() -> int:
    parser = argparse.ArgumentParser(prog="bookwheel_scraper.crawl.process")
    parser.add_argument("--request", required=True, type=CrawlRequest.model_validate_json, help="CrawlRequest as JSON")
    parser.add_argument("--parent", type=int, help="process id of the parent; the crawl ends with it")
    arguments = parser.parse_args()
    settings = load_settings(ScraperSettings)
    configure_logs("scraper", settings.log_level)
    if arguments.parent is not None:
        exit_with_parent(arguments.parent)
    reactor = install_monotonic_reactor()
    statuses: list[int] = []

    async def run_and_stop() -> None:
        statuses.append(await run(arguments.request, settings))
        reactor.stop()

    reactor.callWhenRunning(lambda: asyncio.ensure_future(run_and_stop()))
    reactor.run(installSignalHandlers=False)
    return statuses[0]


if __name__ == "__main__":
    # Does not wait for the open downloads of a stopped crawl.
    os._exit(main())
