"""The command `bookwheel-catalog`."""

import argparse
import sys

from bookwheel_runtime.healthcheck import run_healthcheck

from bookwheel_catalog import DEFAULT_PORT


def main() -> None:
    parser = argparse.ArgumentParser(prog="bookwheel-catalog", description="Serve the catalog over HTTP.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("serve", help="serve the API")
    commands.add_parser("health", help="check that the service on this machine is ready")
    if parser.parse_args().command == "health":
        sys.exit(run_healthcheck(default=DEFAULT_PORT))
    sys.exit(_serve())


def _serve() -> int:
    # lazy imports: `health` runs every few seconds and must start fast
    from bookwheel_runtime.logs import configure_logs  # noqa: PLC0415 - lazy import
    from bookwheel_runtime.prometheus_multiprocess import share_metrics  # noqa: PLC0415 - lazy import
    from bookwheel_runtime.settings import load_settings  # noqa: PLC0415 - lazy import

    from bookwheel_catalog.settings import CatalogSettings  # noqa: PLC0415 - lazy import

    settings = load_settings(CatalogSettings)
    configure_logs("catalog-api", settings.log_level)
    if settings.catalog_workers > 1:
        share_metrics(settings.port)
    from bookwheel_catalog.server import serve  # noqa: PLC0415 - lazy import: it creates the metrics

    return serve(settings)
