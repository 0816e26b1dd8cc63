"""The command `bookwheel-scraper`."""

import argparse
import json
import signal
import sys

from bookwheel_runtime.logs import configure_logs
from bookwheel_runtime.settings import load_settings

from bookwheel_scraper.declarations import BadDeclaration, declared_sources
from bookwheel_scraper.service import ScraperService, health
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.source_list import public_facts


def main() -> int:
    parser = argparse.ArgumentParser(prog="bookwheel-scraper", description="Crawls bookshops for Bookwheel.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="take crawl requests from Redis until stopped")
    verbs.add_parser("health", help="succeed if the scraper of this machine takes requests")
    verbs.add_parser("sources", help="print the declared sources as JSON lines")
    arguments = parser.parse_args()
    settings = load_settings(ScraperSettings)
    if arguments.verb == "health":
        return health(settings)
    try:
        sources = declared_sources(settings)
    except BadDeclaration as error:
        print(f"source declaration: {error}", file=sys.stderr)
        return 2
    if arguments.verb == "sources":
        for source in sources.values():
            print(json.dumps(public_facts(source)))
        return 0
    configure_logs("scraper", settings.log_level)
    service = ScraperService(settings, sources)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: service.stop())
    service.serve()
    return 0
