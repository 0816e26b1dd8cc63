"""`bookwheel-catalog`."""

import argparse
import sys

import uvicorn
from bookwheel_runtime.health import answers
from bookwheel_runtime.logs import configure_logs
from bookwheel_runtime.memory import collect_garbage_rarely
from bookwheel_runtime.settings import load_settings

from bookwheel_catalog.app import build_app
from bookwheel_catalog.query_route import ShortWay
from bookwheel_catalog.settings import CatalogSettings
from bookwheel_catalog.workers import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="bookwheel-catalog", description="The catalogue over HTTP.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("serve", help="serve the API until stopped")
    commands.add_parser("health", help="succeed if the one on this machine is ready to serve")
    options = parser.parse_args()
    settings = load_settings(CatalogSettings)
    if options.command == "health":
        raise SystemExit(answers(settings.port))
    configure_logs("catalog-api", settings.log_level)

    def make_app() -> ShortWay:
        app = build_app(settings)
        collect_garbage_rarely()
        return app

    config = uvicorn.Config(
        make_app,
        factory=True,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
    )
    sys.exit(serve(config, settings.catalog_workers))
