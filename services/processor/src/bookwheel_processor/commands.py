"""The commands of `bookwheel-processor`."""

import argparse
import getpass
import math
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from bookwheel_contracts import RunState
from bookwheel_stores.records import (
    NewerSchemaError,
    RunStore,
    connect_database,
    get_schema_error,
    supports_concurrent_writers,
    upgrade_database,
    wait_for_database,
)
from bookwheel_stores.records.runs.quarantine import QuarantineState, QuarantineStore
from bookwheel_stores.records.values import utc_now
from bookwheel_stores.search import IndexUnavailableError, SearchError
from celery import Celery
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from bookwheel_processor.app import create_job_dependencies, run_scheduler, run_worker
from bookwheel_processor.replay import Replay
from bookwheel_processor.restore import repair_after_restore
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.jobs import compare_index, finish_runs, run_projection
from bookwheel_processor.worker.lake_jobs import run_lake_conversion

_DATABASE_TIMEOUT = 60.0  # seconds
_REINDEX_TIMEOUT = 60.0
_COMPARE_TIMEOUT = 30.0
_CONVERT_TIMEOUT = 120.0
_MAX_HELD = 1000


def run(options: argparse.Namespace, settings: ProcessorSettings) -> int:
    """Run a command; return its exit status: 0, 1 if it failed, or 3 if the database or another store is unusable."""
    if options.command == "beat":
        run_scheduler(settings)
        return 0
    engine = connect_database(settings.database_url)
    try:
        problem = _prepare_database(engine, options.command)
    except (NewerSchemaError, OperationalError) as error:
        problem = str(getattr(error, "orig", error)).strip()
    if problem:
        print(f"bookwheel-processor: {problem}", file=sys.stderr)
        return 3
    if options.command == "migrate":
        return 0
    engine.dispose()
    if options.command == "worker":
        ingest_workers = settings.ingest_workers if supports_concurrent_writers(engine) else 1
        run_worker(settings, concurrency=options.concurrency or 4 + ingest_workers, queues=options.queues)
        return 0
    dependencies = create_job_dependencies(Celery(broker=settings.redis_url), settings)
    try:
        return _COMMANDS[options.command](dependencies, options)
    except (RedisError, SQLAlchemyError, SearchError, OSError) as error:
        # Committed steps are kept, and the worker executes the remaining ones.
        reason = str(getattr(error, "orig", error)).strip()
        print(f"bookwheel-processor: a store is unavailable: {reason}", file=sys.stderr)
        return 3


def _prepare_database(engine: Engine, command: str) -> str | None:
    """Migrate the database, or wait until it is migrated; return the reason if it cannot be used.

    The worker waits without a timeout. Raises NewerSchemaError, OperationalError.
    """
    if command == "migrate":
        upgrade_database(engine)
        return None
    wait_for_database(engine, seconds=math.inf if command == "worker" else _DATABASE_TIMEOUT)
    return get_schema_error(engine)


def _reindex(dependencies: Dependencies, _options: argparse.Namespace) -> int:
    deadline = time.monotonic() + _REINDEX_TIMEOUT
    while True:
        try:
            print(f"{dependencies.reindexing.run(timeout=_REINDEX_TIMEOUT)} books indexed")
            break
        except IndexUnavailableError as error:
            if time.monotonic() > deadline:
                print(str(error), file=sys.stderr)
                return 1
            time.sleep(1)
        except SearchError as error:
            print(str(error), file=sys.stderr)
            return 1
    run_projection(dependencies)
    return 0


def _compare(dependencies: Dependencies, _options: argparse.Namespace) -> int:
    deadline = time.monotonic() + _COMPARE_TIMEOUT
    try:
        while (comparison := compare_index(dependencies)) is None:
            if time.monotonic() > deadline:
                print("another process writes to the index: retry later", file=sys.stderr)
                return 1
            time.sleep(0.5)
    except SearchError as error:
        print(str(error), file=sys.stderr)
        return 1
    print(f"{comparison.books} books compared, {comparison.differing} differed, {comparison.repaired} repaired")
    if comparison.rejected:
        print(f"the index rejects {comparison.rejected} books: see `bookwheel-processor quarantine`", file=sys.stderr)
    if comparison.rebuild:
        print("the index must be rebuilt: run `bookwheel-processor reindex`, or wait for the sweep", file=sys.stderr)
    return 1 if comparison.rejected or comparison.rebuild else 0


def _quarantine(dependencies: Dependencies, options: argparse.Namespace) -> int:
    store = QuarantineStore(dependencies.engine)
    for item in store.list_open(limit=options.limit):
        print(f"{item.number}  {item.quarantined_at:%Y-%m-%d %H:%M:%S}  {item.run_id or '-'}  {item.url or '-'}")
        for reason in item.reasons:
            print(f"    {reason.field}: {reason.message} ({reason.code})")
    print(f"{store.count()} in quarantine")
    return 0


def _replay(dependencies: Dependencies, options: argparse.Namespace) -> int:
    item = None if options.id is None else QuarantineStore(dependencies.engine).get(options.id)
    if item is not None and item.is_rejected_by_index and item.state is QuarantineState.OPEN:
        print(
            f"number {options.id} is a book that the index rejected: the sweep retries it every minute,"
            " and `bookwheel-processor compare` retries it now",
            file=sys.stderr,
        )
        return 1
    replay = Replay(dependencies.engine, dependencies.settings.hold_policy)
    result = (
        replay.replay_entry_number(options.id) if options.id is not None else replay.replay_all(run_id=options.run_id)
    )
    if result is None:
        print(f"nothing with the number {options.id} is in quarantine", file=sys.stderr)
        return 1
    for verdict, count in sorted(result.verdicts.items()):
        print(f"{count} {verdict.value}")
    print(f"{result.rejected} still rejected")
    run_projection(dependencies)
    return 0


def _held(dependencies: Dependencies, _options: argparse.Namespace) -> int:
    held_runs = RunStore(dependencies.engine).list_latest(state=RunState.HELD, limit=_MAX_HELD)
    for run in held_runs:
        print(f"{run.id}  {run.source}  {run.finished_at:%Y-%m-%d %H:%M:%S}  {run.counts.staged} items staged")
        print(f"    {run.reason}")
    print(f"{len(held_runs)} held")
    return 0


def _restored(dependencies: Dependencies, _options: argparse.Namespace) -> int:
    finished_count = repair_after_restore(dependencies, now=utc_now())
    print(f"{finished_count} interrupted runs end as partial; the search index and the lake's silver are rebuilt")
    return 0


def _convert_lake(dependencies: Dependencies, _options: argparse.Namespace) -> int:
    deadline = time.monotonic() + _CONVERT_TIMEOUT
    while (conversion := run_lake_conversion(dependencies)) is None:
        if time.monotonic() > deadline:
            print("another process writes to the lake: retry later", file=sys.stderr)
            return 1
        time.sleep(0.5)
    print(f"{conversion.removed_files} files converted, {conversion.added_entries} entries added to bronze")
    return 0


def _decide(dependencies: Dependencies, options: argparse.Namespace) -> int:
    store = RunStore(dependencies.engine)
    if not store.decide(options.run_id, release=options.release, by=getpass.getuser(), now=utc_now()):
        print(f"the run {options.run_id} is not held", file=sys.stderr)
        return 1
    finish_runs(dependencies)
    run_projection(dependencies)
    run = store.get(options.run_id)
    if run is not None:
        print(f"{run.id} is {run.state.value}: {run.counts.modified} modified, {run.removed} removed")
    return 0


_COMMANDS: Mapping[str, Callable[[Dependencies, argparse.Namespace], int]] = MappingProxyType(
    {
        "reindex": _reindex,
        "compare": _compare,
        "quarantine": _quarantine,
        "replay": _replay,
        "held": _held,
        "release": _decide,
        "discard": _decide,
        "restored": _restored,
        "convert-lake": _convert_lake,
    }
)
