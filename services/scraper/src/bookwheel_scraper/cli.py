"""The command `bookwheel-scraper`."""

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING

from bookwheel_runtime.healthcheck import run_healthcheck

if TYPE_CHECKING:
    from bookwheel_scraper.settings import ScraperSettings
    from bookwheel_scraper.sources.declarations import Source


def main() -> int:
    """Runs the command and returns the exit status.

    It is 2 for an invalid source declaration, source or URL, and 1 for a page that cannot be read.
    """
    parser = argparse.ArgumentParser(prog="bookwheel-scraper", description="Crawls bookshops for Bookwheel.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run crawl requests from Redis until stopped")
    commands.add_parser("health", help="succeed if the scraper on this machine accepts requests")
    commands.add_parser("sources", help="print the declared sources as JSON lines")
    trial = commands.add_parser("try-source", help="read one page and print what it gives; publish nothing")
    trial.add_argument("url")
    trial.add_argument("--source", help="name of the source whose spider and rules apply (default: schema_org)")
    trial.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if arguments.command == "health":
        return run_healthcheck(variable="BOOKWHEEL_METRICS_PORT")
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    # Imported here because `health` runs every few seconds, and the import of Scrapy takes half a second.
    from bookwheel_runtime.logs import configure_logs  # noqa: PLC0415
    from bookwheel_runtime.settings import load_settings  # noqa: PLC0415

    from bookwheel_scraper.service.service import ScraperService  # noqa: PLC0415
    from bookwheel_scraper.service.source_list import public_fields  # noqa: PLC0415
    from bookwheel_scraper.settings import ScraperSettings  # noqa: PLC0415
    from bookwheel_scraper.sources.declarations import DeclarationError, load_sources  # noqa: PLC0415

    settings = load_settings(ScraperSettings)
    try:
        sources = load_sources(settings)
    except DeclarationError as error:
        print(f"source declaration is invalid: {error}", file=sys.stderr)
        return 2
    if arguments.command == "try-source":
        return _try_source(arguments, settings, sources)
    if arguments.command == "sources":
        for source in sources.values():
            print(json.dumps(public_fields(source)))
        return 0
    configure_logs("scraper", settings.log_level)
    service = ScraperService(settings, sources)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda _number, _frame: service.stop())
    service.serve()
    return 0


def _try_source(arguments: argparse.Namespace, settings: "ScraperSettings", sources: "dict[str, Source]") -> int:
    from bookwheel_runtime.logs import configure_logs  # noqa: PLC0415 - see above

    from bookwheel_scraper.crawl.run import InvalidCrawlRequestError, check_url  # noqa: PLC0415 - see above
    from bookwheel_scraper.trial.report import build_report, render_report  # noqa: PLC0415 - see above
    from bookwheel_scraper.trial.trial import DEFAULT_SOURCE, PageNotReadError, try_page  # noqa: PLC0415 - see above

    name = arguments.source or DEFAULT_SOURCE
    if name not in sources:
        print(f"unknown source {name!r}; available sources: {', '.join(sources)}", file=sys.stderr)
        return 2
    configure_logs("scraper", "ERROR")
    try:
        report = build_report(try_page(check_url(arguments.url), sources[name], settings))
    except InvalidCrawlRequestError:
        print(f"URL is invalid: {arguments.url!r} is not an http or https URL", file=sys.stderr)
        return 2
    except PageNotReadError as error:
        print(f"page not read: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, ensure_ascii=False, indent=2) if arguments.json else render_report(report))
    return 0
