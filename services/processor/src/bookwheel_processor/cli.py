"""`bookwheel-processor`: the worker, its scheduler, and what an operator does to the records by hand."""

import argparse
import getpass
import math
import sys
import time
from collections.abc import Callable, Sequence

from bookwheel_contracts import RunState
from bookwheel_runtime.settings import load_settings
from bookwheel_stores.records import (
    NewerSchema,
    RunStore,
    connect_database,
    schema_fault,
    takes_many_writers,
    upgrade_database,
    wait_for_database,
)
from bookwheel_stores.records.quarantine_store import QuarantineStore
from bookwheel_stores.search import IndexAway, SearchError
from celery import Celery
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from bookwheel_processor.app import create_parts, run_beat, run_worker
from bookwheel_processor.closing import utc_now
from bookwheel_processor.replay import Replay
from bookwheel_processor.restoring import after_restore
from bookwheel_processor.rounds import Parts, close_runs, compare_index, project_round
from bookwheel_processor.settings import ProcessorSettings

_RECORDS_PATIENCE = 60.0
_REINDEX_PATIENCE = 60.0
_COMPARE_PATIENCE = 30.0
_MOST_HELD = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 1 where the answer is no, or 3 where the records can't be used."""
    options = _parser().parse_args(arguments)
    settings = load_settings(ProcessorSettings)
    if options.command == "beat":
        run_beat(settings)
        return 0
    engine = connect_database(settings.database_url)
    try:
        fault = _meet_records(engine, options.command)
    except (NewerSchema, OperationalError) as error:
        fault = str(getattr(error, "orig", error)).strip()
    if fault:
        print(f"bookwheel-processor: {fault}", file=sys.stderr)
        return 3
    if options.command == "migrate":
        return 0
    engine.dispose()
    if options.command == "worker":
        ingest_workers = settings.ingest_workers if takes_many_writers(engine) else 1
        run_worker(settings, concurrency=options.concurrency or 4 + ingest_workers, queues=options.queues)
        return 0
    command: Callable[[Parts, argparse.Namespace], int] = options.run
    return command(create_parts(settings, Celery(broker=settings.redis_url)), options)


def _meet_records(engine: Engine, command: str) -> str | None:
    """Waits for them, for as long as the command may; tells why they can't be used. Raises NewerSchema,
    OperationalError."""
    if command == "migrate":
        upgrade_database(engine)
    elif command != "health":
        wait_for_database(engine, seconds=math.inf if command == "worker" else _RECORDS_PATIENCE)
        return schema_fault(engine)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bookwheel-processor", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="take in what is scraped, and keep the index current")
    worker.add_argument("--concurrency", type=int, help="child processes (default: 4 beside those that take in)")
    worker.add_argument("--queues", default="ingest,project,maintenance,lake,webhooks", help="default: %(default)s")
    commands.add_parser("beat", help="nudge the workers; one of these for all of them")
    commands.add_parser("migrate", help="bring the records' tables to their current form")
    commands.add_parser("health", help="succeed if a worker made progress lately").set_defaults(run=_health)
    commands.add_parser("reindex", help="build the search index anew from the records").set_defaults(run=_reindex)
    compare = commands.add_parser("compare", help="compare the search index with the records, and repair it")
    compare.set_defaults(run=_compare)
    quarantine = commands.add_parser("quarantine", help="list what could not be taken in, with the reasons")
    quarantine.add_argument("--limit", type=int, default=20)
    quarantine.set_defaults(run=_quarantine)
    replay = commands.add_parser("replay", help="take quarantined items in again, by the rules of today")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", type=int, help="the number that `quarantine` shows")
    which.add_argument("--all", action="store_true", help="all but what was discarded with its run")
    which.add_argument("--run", dest="run_id", help="all of a run, discarded or not")
    replay.set_defaults(run=_replay)
    commands.add_parser("held", help="list the runs that wait for a decision, with the reasons").set_defaults(run=_held)
    release = commands.add_parser("release", help="let a held run into the catalogue")
    release.set_defaults(run=_decide, release=True)
    discard = commands.add_parser("discard", help="put what waits of a held run into quarantine")
    discard.set_defaults(run=_decide, release=False)
    restored = commands.add_parser("restored", help="once the records were restored: mend what depended on the lost")
    restored.set_defaults(run=_restored)
    for decision in (release, discard):
        decision.add_argument("run_id", help="as `held` shows it")
    return parser


def _health(parts: Parts, _options: argparse.Namespace) -> int:
    try:
        age = parts.progress.age()
    except RedisError as error:
        print(f"Redis does not answer: {error}", file=sys.stderr)
        return 1
    if age is None or age > parts.settings.stalled_after:
        print("no progress" if age is None else f"no progress for {age:.0f} s", file=sys.stderr)
        return 1
    print(f"progress {age:.1f} s ago")
    return 0


def _reindex(parts: Parts, _options: argparse.Namespace) -> int:
    deadline = time.monotonic() + _REINDEX_PATIENCE
    while True:
        try:
            print(f"{parts.reindexing.run(patience=_REINDEX_PATIENCE)} books indexed")
            break
        except IndexAway as error:
            if time.monotonic() > deadline:
                print(str(error), file=sys.stderr)
                return 1
            time.sleep(1)
        except SearchError as error:
            print(str(error), file=sys.stderr)
            return 1
    project_round(parts)
    return 0


def _compare(parts: Parts, _options: argparse.Namespace) -> int:
    deadline = time.monotonic() + _COMPARE_PATIENCE
    try:
        while (found := compare_index(parts)) is None:
            if time.monotonic() > deadline:
                print("another process writes to the index: try again later", file=sys.stderr)
                return 1
            time.sleep(0.5)
    except SearchError as error:
        print(str(error), file=sys.stderr)
        return 1
    print(f"{found.books} books compared, {found.differing} differed, {found.repaired} repaired")
    if found.rejected:
        print(f"the index can't take {found.rejected} of them as they are: the log says why", file=sys.stderr)
    if found.rebuild:
        print("the index has to be built anew: `bookwheel-processor reindex`, or wait for the sweep", file=sys.stderr)
    return 1 if found.rejected or found.rebuild else 0


def _quarantine(parts: Parts, options: argparse.Namespace) -> int:
    store = QuarantineStore(parts.engine)
    for item in store.open(limit=options.limit):
        print(f"{item.number}  {item.quarantined_at:%Y-%m-%d %H:%M:%S}  {item.run_id or '-'}  {item.url or '-'}")
        for reason in item.reasons:
            print(f"    {reason.field}: {reason.message} ({reason.code})")
    print(f"{store.count()} in quarantine")
    return 0


def _replay(parts: Parts, options: argparse.Namespace) -> int:
    replay = Replay(parts.engine, parts.settings.hold_policy)
    result = replay.number(options.id) if options.id is not None else replay.all(run_id=options.run_id)
    if result is None:
        print(f"nothing with the number {options.id} is in quarantine", file=sys.stderr)
        return 1
    for verdict, count in sorted(result.verdicts.items()):
        print(f"{count} {verdict.value}")
    print(f"{result.rejected} still rejected")
    project_round(parts)
    return 0


def _held(parts: Parts, _options: argparse.Namespace) -> int:
    held = RunStore(parts.engine).latest(state=RunState.HELD, limit=_MOST_HELD)
    for run in held:
        print(f"{run.id}  {run.source}  {run.finished_at:%Y-%m-%d %H:%M:%S}  {run.counts.staged} items wait")
        print(f"    {run.reason}")
    print(f"{len(held)} held")
    return 0


def _restored(parts: Parts, _options: argparse.Namespace) -> int:
    ended = after_restore(parts, now=utc_now())
    print(f"{ended} interrupted runs end as partial; the search index and the lake's silver are made anew")
    return 0


def _decide(parts: Parts, options: argparse.Namespace) -> int:
    store = RunStore(parts.engine)
    if not store.decide(options.run_id, release=options.release, by=getpass.getuser(), now=utc_now()):
        print(f"the run {options.run_id} is not held", file=sys.stderr)
        return 1
    close_runs(parts)
    project_round(parts)
    run = store.get(options.run_id)
    if run is not None:
        print(f"{run.id} is {run.state.value}: {run.counts.modified} modified, {run.removed} removed")
    return 0
