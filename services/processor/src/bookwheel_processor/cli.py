"""`bookwheel-processor`: run the worker or its scheduler, and operate on the records."""

import argparse
from collections.abc import Sequence

from bookwheel_runtime.healthcheck import run_healthcheck


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "health":
        return run_healthcheck(variable="BOOKWHEEL_METRICS_PORT")
    # Imported late: `health` runs every few seconds and takes 0.03 s, the imports take 1.6 s.
    from bookwheel_runtime.prometheus_multiprocess import share_metrics  # noqa: PLC0415
    from bookwheel_runtime.settings import load_settings  # noqa: PLC0415

    from bookwheel_processor.settings import ProcessorSettings  # noqa: PLC0415

    settings = load_settings(ProcessorSettings)
    if options.command == "worker" and settings.metrics_port:
        share_metrics(settings.metrics_port)  # its tasks run in child processes
    from bookwheel_processor.commands import run  # noqa: PLC0415 - counters are created after `share_metrics`

    return run(options, settings)


def _positive(text: str) -> int:
    """Parse a positive integer that fits a database column."""
    number = int(text)
    if not 0 < number < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text} is invalid: enter a positive integer")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bookwheel-processor", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="ingest scraped items, and keep the index up to date")
    worker.add_argument("--concurrency", type=_positive, help="child processes (default: 4, and one per ingest job)")
    worker.add_argument("--queues", default="ingest,project,maintenance,lake,webhooks", help="default: %(default)s")
    commands.add_parser("beat", help="run the scheduler that triggers the workers' tasks; one for all workers")
    commands.add_parser("migrate", help="migrate the database to the current schema")
    commands.add_parser("health", help="succeed if the worker or scheduler of this machine is healthy")
    commands.add_parser("reindex", help="rebuild the search index from the records")
    commands.add_parser("compare", help="compare the search index with the records, and repair it")
    quarantine = commands.add_parser("quarantine", help="list quarantined items with their reasons")
    quarantine.add_argument("--limit", type=_positive, default=20)
    replay = commands.add_parser("replay", help="ingest quarantined items again under the current rules")
    selection = replay.add_mutually_exclusive_group(required=True)
    selection.add_argument("--id", type=_positive, help="the number that `quarantine` shows")
    selection.add_argument("--all", action="store_true", help="all items except those of discarded runs")
    selection.add_argument("--run", dest="run_id", help="all items of a run, even if it was discarded")
    commands.add_parser("held", help="list held runs with their reasons")
    release = commands.add_parser("release", help="apply a held run to the catalog")
    release.set_defaults(release=True)
    discard = commands.add_parser("discard", help="put a held run's staged items into quarantine")
    discard.set_defaults(release=False)
    commands.add_parser("restored", help="after a restore of the records: repair derived data")
    commands.add_parser("convert-lake", help="convert the lake of a version before Delta Lake")
    for decision in (release, discard):
        decision.add_argument("run_id", help="the id that `held` shows")
    return parser
