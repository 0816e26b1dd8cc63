"""The prediction log: nothing waits for it, nothing fails of it, and what it takes it delivers."""

import json
import time
from pathlib import Path

from bookwheel_contracts import PredictionRecord
from bookwheel_ml.prediction_log import PredictionLog, ServedPrediction
from bookwheel_stores.streams import StreamReader, StreamWriter, connect_redis
from bookwheel_testing.servers import free_port, redis_answers, redis_command, running, wait_until

_STREAM = "test:predictions"


def _records(count: int, first: int = 0) -> list[ServedPrediction]:
    return [
        ServedPrediction(
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


def _delivered(url: str) -> list[str]:
    reader = StreamReader(connect_redis(url), _STREAM, group="processor", consumer="one")
    return [json.loads(entry.body)["prediction_id"] for entry in reader.read(100_000)]


def _log(url: str, limit: int = 10_000) -> PredictionLog:
    log = PredictionLog(StreamWriter(connect_redis(url, timeout=1), _STREAM), limit=limit)
    log.start()
    return log


def test_records_arrive_in_order_and_keep_the_contract(redis_url: str) -> None:
    log = _log(redis_url)
    for first in range(0, 1_200, 100):
        log.add(_records(100, first))
    log.stop()
    reader = StreamReader(connect_redis(redis_url), _STREAM, group="processor", consumer="one")
    found = [PredictionRecord.model_validate_json(entry.body) for entry in reader.read(5_000)]
    assert [record.prediction_id for record in found] == [str(number) for number in range(1_200)]


def test_without_redis_records_wait_up_to_the_bound_and_the_rest_is_counted(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    log = _log(url, limit=50)
    started = time.monotonic()
    log.add(_records(40))
    log.add(_records(40, 40))
    log.add(_records(40, 80))
    assert time.monotonic() - started < 0.1
    assert log.dropped == 70
    with running(redis_command(port, tmp_path), log=tmp_path / "redis.log", ready=lambda: redis_answers(url)):
        wait_until(lambda: connect_redis(url).xlen(_STREAM) == 50, seconds=10, what="delivery after Redis came")
        log.stop()
        assert _delivered(url) == [str(number) for number in range(50)]


def test_stopping_writes_out_what_waits_and_never_hangs_without_redis(redis_url: str) -> None:
    log = _log(redis_url)
    log.add(_records(3))
    log.stop()
    assert _delivered(redis_url) == ["0", "1", "2"]
    away = _log(f"redis://127.0.0.1:{free_port()}/0")
    away.add(_records(3))
    started = time.monotonic()
    away.stop()
    assert time.monotonic() - started < 5
