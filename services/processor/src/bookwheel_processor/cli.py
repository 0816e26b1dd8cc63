"""`bookwheel-processor`: the worker, its scheduler, and what an operator does to the records by hand."""

import argparse
from collections.abc import Sequence

from bookwheel_runtime.healthcheck import run_healthcheck


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "health":
        return run_healthcheck(variable="BOOKWHEEL_METRICS_PORT")
    # Here, since `health` is called every few seconds, and needs none of it.
    from bookwheel_runtime.prometheus_multiprocess import share_metrics  # noqa: PLC0415
    from bookwheel_runtime.settings import load_settings  # noqa: PLC0415

    from bookwheel_processor.settings import ProcessorSettings  # noqa: PLC0415

    settings = load_settings(ProcessorSettings)
    if options.command == "worker" and settings.metrics_port:
        share_metrics(settings.metrics_port)  # its tasks run in children
    from bookwheel_processor.verbs import run  # noqa: PLC0415 - imports what counts

    return run(options, settings)


def _count(text: str) -> int:
    """From 1 on, and such as a database takes."""
    number = int(text)
    if not 0 < number < 1 << 63:
        raise argparse.ArgumentTypeError(f"not a number from 1 on: {text}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bookwheel-processor", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="take in what is scraped, and keep the index current")
    worker.add_argument("--concurrency", type=_count, help="child processes (default: 4 beside those that take in)")
    worker.add_argument("--queues", default="ingest,project,maintenance,lake,webhooks", help="default: %(default)s")
    commands.add_parser("beat", help="nudge the workers; one of these for all of them")
    commands.add_parser("migrate", help="bring the records' tables to their current form")
    commands.add_parser("health", help="succeed if the worker, or scheduler, of this machine gets on")
    commands.add_parser("reindex", help="build the search index anew from the records")
    commands.add_parser("compare", help="compare the search index with the records, and repair it")
    quarantine = commands.add_parser("quarantine", help="list what could not be taken in, with the reasons")
    quarantine.add_argument("--limit", type=_count, default=20)
    replay = commands.add_parser("replay", help="take quarantined items in again, by the rules of today")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", type=_count, help="the number that `quarantine` shows")
    which.add_argument("--all", action="store_true", help="all but what was discarded with its run")
    which.add_argument("--run", dest="run_id", help="all of a run, discarded or not")
    commands.add_parser("held", help="list the runs that wait for a decision, with the reasons")
    release = commands.add_parser("release", help="let a held run into the catalog")
    release.set_defaults(release=True)
    discard = commands.add_parser("discard", help="put what waits of a held run into quarantine")
    discard.set_defaults(release=False)
    commands.add_parser("restored", help="once the records were restored: mend what depended on the lost")
    for decision in (release, discard):
        decision.add_argument("run_id", help="as `held` shows it")
    return parser
