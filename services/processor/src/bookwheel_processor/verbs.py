"""What the verbs of `bookwheel-processor` do."""

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
    schema_fault,
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

from bookwheel_processor.app import create_parts, run_beat, run_worker
from bookwheel_processor.ingest.replay import Replay
from bookwheel_processor.restore import after_restore
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.worker.jobs import Dependencies, close_runs, compare_index, project_round

_RECORDS_PATIENCE = 60.0
_REINDEX_PATIENCE = 60.0
_COMPARE_PATIENCE = 30.0
_MOST_HELD = 1000


def run(options: argparse.Namespace, settings: ProcessorSettings) -> int:
    """Returns the exit status: 0, or 1 where the answer is no, or 3 where the records or a store can't be used."""
    if options.command == "beat":
        run_beat(settings)
        return 0
    engine = connect_database(settings.database_url)
    try:
        fault = _meet_records(engine, options.command)
    except (NewerSchemaError, OperationalError) as error:
        fault = str(getattr(error, "orig", error)).strip()
    if fault:
        print(f"bookwheel-processor: {fault}", file=sys.stderr)
        return 3
    if options.command == "migrate":
        return 0
    engine.dispose()
    if options.command == "worker":
        ingest_workers = settings.ingest_workers if supports_concurrent_writers(engine) else 1
        run_worker(settings, concurrency=options.concurrency or 4 + ingest_workers, queues=options.queues)
        return 0
    parts = create_parts(settings, Celery(broker=settings.redis_url))
    try:
        return _VERBS[options.command](parts, options)
    except (RedisError, SQLAlchemyError, SearchError, OSError) as error:
        # What is committed stays so, and what should follow it is the worker's work as well.
        reason = str(getattr(error, "orig", error)).strip()
        print(f"bookwheel-processor: a store is away or refuses: {reason}", file=sys.stderr)
        return 3


def _meet_records(engine: Engine, command: str) -> str | None:
    """Waits for them, for as long as the command may; tells why they can't be used. Raises NewerSchema,
    OperationalError."""
    if command == "migrate":
        upgrade_database(engine)
    else:
        wait_for_database(engine, seconds=math.inf if command == "worker" else _RECORDS_PATIENCE)
        return schema_fault(engine)
    return None


def _reindex(parts: Dependencies, _options: argparse.Namespace) -> int:
    deadline = time.monotonic() + _REINDEX_PATIENCE
    while True:
        try:
            print(f"{parts.reindexing.run(patience=_REINDEX_PATIENCE)} books indexed")
            break
        except IndexUnavailableError as error:
            if time.monotonic() > deadline:
                print(str(error), file=sys.stderr)
                return 1
            time.sleep(1)
        except SearchError as error:
            print(str(error), file=sys.stderr)
            return 1
    project_round(parts)
    return 0


def _compare(parts: Dependencies, _options: argparse.Namespace) -> int:
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
        print(f"the index refuses {found.rejected} of them: `bookwheel-processor quarantine` says why", file=sys.stderr)
    if found.rebuild:
        print("the index has to be built anew: `bookwheel-processor reindex`, or wait for the sweep", file=sys.stderr)
    return 1 if found.rejected or found.rebuild else 0


def _quarantine(parts: Dependencies, options: argparse.Namespace) -> int:
    store = QuarantineStore(parts.engine)
    for item in store.list_open(limit=options.limit):
        print(f"{item.number}  {item.quarantined_at:%Y-%m-%d %H:%M:%S}  {item.run_id or '-'}  {item.url or '-'}")
        for reason in item.reasons:
            print(f"    {reason.field}: {reason.message} ({reason.code})")
    print(f"{store.count()} in quarantine")
    return 0


def _replay(parts: Dependencies, options: argparse.Namespace) -> int:
    asked = None if options.id is None else QuarantineStore(parts.engine).get(options.id)
    if asked is not None and asked.is_refused_book and asked.state is QuarantineState.OPEN:
        print(
            f"number {options.id} is a book that the index refused: the sweep offers it again each minute,"
            " and `bookwheel-processor compare` does so now",
            file=sys.stderr,
        )
        return 1
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


def _held(parts: Dependencies, _options: argparse.Namespace) -> int:
    held = RunStore(parts.engine).list_latest(state=RunState.HELD, limit=_MOST_HELD)
    for run in held:
        print(f"{run.id}  {run.source}  {run.finished_at:%Y-%m-%d %H:%M:%S}  {run.counts.staged} items wait")
        print(f"    {run.reason}")
    print(f"{len(held)} held")
    return 0


def _restored(parts: Dependencies, _options: argparse.Namespace) -> int:
    ended = after_restore(parts, now=utc_now())
    print(f"{ended} interrupted runs end as partial; the search index and the lake's silver are made anew")
    return 0


def _decide(parts: Dependencies, options: argparse.Namespace) -> int:
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


_VERBS: Mapping[str, Callable[[Dependencies, argparse.Namespace], int]] = MappingProxyType(
    {
        "reindex": _reindex,
        "compare": _compare,
        "quarantine": _quarantine,
        "replay": _replay,
        "held": _held,
        "release": _decide,
        "discard": _decide,
        "restored": _restored,
    }
)
