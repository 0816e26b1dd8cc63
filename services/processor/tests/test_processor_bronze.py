"""What was received lies in the lake, though the stream, the lake or a worker fails."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_processor.app import create_parts
from bookwheel_processor.lake.jobs import bronze_round, lake_sweep_round
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.worker.jobs import Dependencies, ingest_round
from bookwheel_stores.lake import Bronze, Lake, LakeAddress, LakeError
from bookwheel_stores.records import BookReader, RunStore, upgrade_database
from bookwheel_stores.records.values import utc_now
from bookwheel_stores.streams import StreamWriter
from celery import Celery


@pytest.fixture
def parts(tmp_path: Path, redis_url: str) -> Iterator[Dependencies]:
    settings = ProcessorSettings(
        database_url=f"sqlite:///{tmp_path / 'bookwheel.sqlite'}",
        search_url=f"tantivy://{tmp_path / 'index'}",
        redis_url=redis_url,
        state_dir=tmp_path,
    )
    made = create_parts(settings, Celery(broker=redis_url))
    upgrade_database(made.engine)
    yield replace(made, nudge_ingest=lambda: None, nudge_project=lambda: None)
    made.engine.dispose()
    made.redis.close()


@pytest.fixture
def publish(parts: Dependencies) -> Callable[..., None]:
    def publish(*messages: Any) -> None:
        StreamWriter(parts.redis, RAW_STREAM).publish([message.model_dump_json() for message in messages])

    return publish


def kept(lake: Lake) -> list[bytes]:
    found: list[bytes] = []
    for file in lake.list("bronze"):
        with lake.open(file.path) as opened:
            found += pq.read_table(opened, columns=["body"])["body"].to_pylist()
    return sorted(found)


def test_both_groups_get_every_entry_and_then_the_stream_is_empty(
    parts: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    messages = [scraped.started(), *(scraped.item(n) for n in range(1, 31)), scraped.finished(scraped=30)]
    publish(*messages)
    assert ingest_round(parts) == 32
    assert parts.redis.xlen(RAW_STREAM) == 32
    assert bronze_round(parts) == 32
    assert parts.redis.xlen(RAW_STREAM) == 0
    assert kept(parts.lake) == sorted(message.model_dump_json().encode() for message in messages)
    publish(scraped.item(31))
    assert bronze_round(parts) == 1
    assert parts.redis.xlen(RAW_STREAM) == 1
    assert ingest_round(parts) == 1
    assert parts.redis.xlen(RAW_STREAM) == 0


def test_a_lake_that_is_away_loses_nothing_and_does_not_stop_the_catalog(
    parts: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    away = replace(parts, lake=Lake(LakeAddress("s3://lake", "http://127.0.0.1:9", "us-east-1", "key", "secret")))
    publish(*(scraped.item(n) for n in range(1, 11)))
    for _ in range(3):
        with pytest.raises(LakeError):
            bronze_round(away)
    assert ingest_round(parts) == 10
    assert not parts.reader(RAW_STREAM).has_backlog()
    assert StreamWriter(parts.redis, RAW_STREAM).length() == 10
    assert bronze_round(parts) == 10
    assert len(kept(parts.lake)) == 10


def test_a_worker_that_dies_before_it_acknowledges_doubles_nothing(
    parts: Dependencies, publish: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(*(scraped.item(n) for n in range(1, 11)))

    def die(_bronze: Bronze, entries: Any) -> int:
        add(_bronze, entries[:4])
        raise SystemExit

    add = Bronze.add
    monkeypatch.setattr(Bronze, "add", die)
    with pytest.raises(SystemExit):
        bronze_round(parts)
    monkeypatch.undo()
    publish(*(scraped.item(n) for n in range(11, 16)))
    another = replace(parts, consumer="another", settings=parts.settings.model_copy(update={"claim_after": 0.001}))
    bronze_round(another)
    bronze_round(parts)
    assert len(kept(parts.lake)) == len(set(kept(parts.lake))) == 15


def test_after_a_redis_that_lost_everything_a_new_crawl_completes_the_records(
    parts: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.started(), *(scraped.item(n) for n in range(1, 11)), scraped.finished(scraped=10))
    ingest_round(parts)
    bronze_round(parts)
    publish(scraped.started("run-2"), *(scraped.item(n, run="run-2", minute=1) for n in range(1, 6)))
    parts.redis.flushall()
    assert ingest_round(parts) == bronze_round(parts) == 0
    assert BookReader(parts.engine).count() == 10
    third = [scraped.item(n, run="run-3", minute=2, price="£11.00" if n == 1 else "£10.00") for n in range(1, 13)]
    publish(scraped.started("run-3", minute=2), *third, scraped.finished("run-3", scraped=12, minute=3))
    assert ingest_round(parts) == 14
    assert BookReader(parts.engine).count() == 12
    run = RunStore(parts.engine).get("run-3")
    assert run is not None
    assert (run.state, run.counts.added, run.counts.modified, run.counts.unchanged) == ("complete", 2, 1, 9)
    assert bronze_round(parts) == 14
    assert len(kept(parts.lake)) == 12 + 14
    assert parts.redis.xlen(RAW_STREAM) == 0


def test_a_day_that_is_over_is_merged_once_everything_of_it_is_kept(
    parts: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    now = utc_now()
    lake_sweep_round(parts, now=now)
    for first in (1, 11):
        publish(*(scraped.item(n) for n in range(first, first + 10)))
        bronze_round(replace(parts, consumer=f"host-{first}"))
    publish(scraped.item(21))
    lake_sweep_round(parts, now=now)
    lake_sweep_round(parts, now=now + timedelta(days=1))
    assert len(parts.lake.list("bronze")) == 2, "one waits in the stream"
    bronze_round(parts)
    lake_sweep_round(parts, now=now + timedelta(days=1))
    lake_sweep_round(parts, now=now + timedelta(days=2))
    assert len(parts.lake.list("bronze")) == 1
    assert len(kept(parts.lake)) == len(set(kept(parts.lake))) == 21
