"""The command `bookwheel-scraper`."""

import argparse
import json
import signal
import sys

from bookwheel_runtime.healthcheck import run_healthcheck


def main() -> int:
    """Runs the command and returns the exit status: 2 for an invalid source declaration."""
    parser = argparse.ArgumentParser(prog="bookwheel-scraper", description="Crawls bookshops for Bookwheel.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run crawl requests from Redis until stopped")
    commands.add_parser("health", help="succeed if the scraper on this machine accepts requests")
    commands.add_parser("sources", help="print the declared sources as JSON lines")
    arguments = parser.parse_args()
    if arguments.command == "health":
        return run_healthcheck(variable="BOOKWHEEL_METRICS_PORT")
    return _run(arguments.command)


def _run(command: str) -> int:
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
    if command == "sources":
        for source in sources.values():
            print(json.dumps(public_fields(source)))
        return 0
    configure_logs("scraper", settings.log_level)
    service = ScraperService(settings, sources)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda _number, _frame: service.stop())
    service.serve()
    return 0
