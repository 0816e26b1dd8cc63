"""The prediction log does not delay requests, publishes in order, and is bounded."""

import json
import time
from pathlib import Path

import pytest
from bookwheel_contracts import PredictionRecord
from bookwheel_contracts.problems import UnavailableError
from bookwheel_ml.serving.prediction_log import PredictionLog, PredictionLogEntry
from bookwheel_stores.streams import StreamReader, StreamWriter, connect_redis
from bookwheel_testing.servers import free_port, redis_answers, redis_command, running, wait_until

_STREAM = "test:predictions"


def _create_entries(count: int, first: int = 0) -> list[PredictionLogEntry]:
    return [
        PredictionLogEntry(
            prediction_id=str(number),
            book_id=None,
            predicted_at=time.time(),
            model_name="m",
            model_version="1",
            rating=3.0,
            low=2.0,
            high=4.0,
            features=(1.0, 0.5),
            subject="tester",
            traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        )
        for number in range(first, first + count)
    ]


def _published_ids(url: str) -> list[str]:
    reader = StreamReader(connect_redis(url), _STREAM, group="processor", consumer="test")
    return [json.loads(entry.body)["prediction_id"] for entry in reader.read(100_000)]


def _log(url: str, *, buffer_limit: int = 10_000, stream_limit: int = 100_000) -> PredictionLog:
    writer = StreamWriter(connect_redis(url, timeout=1), _STREAM)
    log = PredictionLog(writer, buffer_limit=buffer_limit, stream_limit=stream_limit)
    log.start()
    return log


def test_entries_are_published_in_order_as_prediction_records(redis_url: str) -> None:
    log = _log(redis_url)
    for first in range(0, 1_200, 100):
        log.add(_create_entries(100, first))
    log.stop()
    reader = StreamReader(connect_redis(redis_url), _STREAM, group="processor", consumer="test")
    records = [PredictionRecord.model_validate_json(entry.body) for entry in reader.read(5_000)]
    assert [record.prediction_id for record in records] == [str(number) for number in range(1_200)]


def test_without_redis_entries_are_buffered_up_to_the_limit_and_dropped_ones_counted(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    log = _log(url, buffer_limit=50)
    started = time.monotonic()
    log.add(_create_entries(40))
    log.add(_create_entries(40, 40))
    log.add(_create_entries(40, 80))
    assert time.monotonic() - started < 0.1
    assert log.dropped_count == 70
    with running(redis_command(port, tmp_path), log=tmp_path / "redis.log", ready=lambda: redis_answers(url)):
        wait_until(
            lambda: connect_redis(url).xlen(_STREAM) == 50, seconds=10, what="publication once Redis is available"
        )
        log.stop()
        assert _published_ids(url) == [str(number) for number in range(50)]


def test_a_stop_publishes_the_buffer_and_does_not_hang_without_redis(redis_url: str) -> None:
    log = _log(redis_url)
    log.add(_create_entries(3))
    log.stop()
    assert _published_ids(redis_url) == ["0", "1", "2"]
    unavailable = _log(f"redis://127.0.0.1:{free_port()}/0")
    unavailable.add(_create_entries(3))
    started = time.monotonic()
    unavailable.stop()
    assert time.monotonic() - started < 5


def test_predictions_are_rejected_while_the_stream_is_full(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    log = _log(redis_url, stream_limit=1_000)
    for first in range(0, 1_000, 100):
        log.check_capacity(100)
        log.add(_create_entries(100, first))
    with pytest.raises(UnavailableError) as error:
        log.check_capacity(1)
    assert (error.value.status, error.value.retry_after) == (503, 5)
    wait_until(lambda: redis.xlen(_STREAM) == 1_000, seconds=10, what="publication")
    assert not _has_capacity(log, 1)

    reader = StreamReader(redis, _STREAM, group="processor", consumer="test")
    reader.acknowledge([entry.id for entry in reader.read(500)])
    wait_until(lambda: _has_capacity(log, 500), seconds=10, what="capacity for predictions")
    assert not _has_capacity(log, 501)
    log.stop()
    assert log.dropped_count == 0


def test_a_stream_is_never_longer_than_its_limit(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    StreamWriter(redis, _STREAM).publish([b"{}"] * 900)  # by another replica
    log = _log(redis_url, stream_limit=1_000)
    log.add(_create_entries(150))
    wait_until(lambda: redis.xlen(_STREAM) == 1_000, seconds=10, what="publication up to the limit")
    assert not _has_capacity(log, 1)
    reader = StreamReader(redis, _STREAM, group="processor", consumer="test")
    reader.acknowledge([entry.id for entry in reader.read(1_000)])
    wait_until(lambda: redis.xlen(_STREAM) == 50, seconds=10, what="publication of the rest")
    log.stop()


def _has_capacity(log: PredictionLog, count: int) -> bool:
    try:
        log.check_capacity(count)
    except UnavailableError:
        return False
    return True
