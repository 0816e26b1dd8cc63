"""Bronze gets every entry of the stream, also after a failure of Redis, the lake or a worker."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.ingest_job import run_ingest
from bookwheel_processor.worker.lake_jobs import run_bronze, run_lake_sweep
from bookwheel_stores.lake import Lake, LakeAddress, LakeError
from bookwheel_stores.lake.bronze import TABLE, Bronze
from bookwheel_stores.records import BookReader, RunStore
from bookwheel_stores.records.values import utc_now
from bookwheel_stores.streams import StreamWriter
from bookwheel_testing.lakes import lake_rows


def bodies(lake: Lake) -> list[bytes]:
    return sorted(row["body"] for row in lake_rows(lake, TABLE))


def test_both_groups_get_every_entry_and_then_the_stream_is_empty(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    messages = [scraped.started(), *(scraped.item(n) for n in range(1, 31)), scraped.finished(scraped=30)]
    publish(*messages)
    assert run_ingest(dependencies) == 32
    assert dependencies.redis.xlen(RAW_STREAM) == 32
    assert run_bronze(dependencies) == 32
    assert dependencies.redis.xlen(RAW_STREAM) == 0
    assert bodies(dependencies.lake) == sorted(message.model_dump_json().encode() for message in messages)
    publish(scraped.item(31))
    assert run_bronze(dependencies) == 1
    assert dependencies.redis.xlen(RAW_STREAM) == 1
    assert run_ingest(dependencies) == 1
    assert dependencies.redis.xlen(RAW_STREAM) == 0


def test_an_unavailable_lake_loses_nothing_and_does_not_stop_the_catalog(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    unavailable = replace(
        dependencies, lake=Lake(LakeAddress("s3://lake", "http://127.0.0.1:9", "us-east-1", "key", "secret"))
    )
    publish(*(scraped.item(n) for n in range(1, 11)))
    for _ in range(3):
        with pytest.raises(LakeError):
            run_bronze(unavailable)
    assert run_ingest(dependencies) == 10
    assert not dependencies.reader(RAW_STREAM).has_backlog()
    assert StreamWriter(dependencies.redis, RAW_STREAM).length() == 10
    assert run_bronze(dependencies) == 10
    assert len(bodies(dependencies.lake)) == 10


def test_a_worker_killed_before_it_acknowledges_counts_nothing_twice(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(*(scraped.item(n) for n in range(1, 11)))

    def die(_bronze: Bronze, entries: Any) -> int:
        add(_bronze, entries[:4])
        raise SystemExit

    add = Bronze.add
    monkeypatch.setattr(Bronze, "add", die)
    with pytest.raises(SystemExit):
        run_bronze(dependencies)
    monkeypatch.undo()
    publish(*(scraped.item(n) for n in range(11, 16)))
    another = replace(
        dependencies, consumer="another", settings=dependencies.settings.model_copy(update={"claim_after": 0.001})
    )
    run_bronze(another)
    run_bronze(dependencies)
    assert len(bodies(dependencies.lake)) == len(set(bodies(dependencies.lake))) == 15


def test_a_new_crawl_completes_the_records_after_redis_lost_everything(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.started(), *(scraped.item(n) for n in range(1, 11)), scraped.finished(scraped=10))
    run_ingest(dependencies)
    run_bronze(dependencies)
    publish(scraped.started("run-2"), *(scraped.item(n, run="run-2", minute=1) for n in range(1, 6)))
    dependencies.redis.flushall()
    assert run_ingest(dependencies) == run_bronze(dependencies) == 0
    assert BookReader(dependencies.engine).count() == 10
    third = [scraped.item(n, run="run-3", minute=2, price="£11.00" if n == 1 else "£10.00") for n in range(1, 13)]
    publish(scraped.started("run-3", minute=2), *third, scraped.finished("run-3", scraped=12, minute=3))
    assert run_ingest(dependencies) == 14
    assert BookReader(dependencies.engine).count() == 12
    run = RunStore(dependencies.engine).get("run-3")
    assert run is not None
    assert (run.state, run.counts.added, run.counts.modified, run.counts.unchanged) == ("complete", 2, 1, 9)
    assert run_bronze(dependencies) == 14
    assert len(bodies(dependencies.lake)) == 12 + 14
    assert dependencies.redis.xlen(RAW_STREAM) == 0


def test_the_sweep_merges_the_files_of_earlier_days(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    now, table = utc_now(), Bronze(dependencies.lake).table
    run_lake_sweep(dependencies, now=now)
    for first in (1, 11):
        publish(*(scraped.item(n) for n in range(first, first + 10)))
        run_bronze(dependencies)
    publish(scraped.item(21))
    run_lake_sweep(dependencies, now=now)
    table.load()
    assert len(table.snapshot().file_uris()) == 2
    run_lake_sweep(dependencies, now=now + timedelta(days=1))
    run_bronze(dependencies)
    table.load()
    assert len(table.snapshot().file_uris()) == 1 + 1
    assert len(bodies(dependencies.lake)) == len(set(bodies(dependencies.lake))) == 21
