"""Only one trainer executes a run. A dead or stalled trainer loses its lease."""

import os
import signal
import subprocess
import sys
import time

import pytest
from bookwheel_ml.settings import MlSettings
from bookwheel_ml.training.lease import training_lease
from bookwheel_ml.training.worker import TASK_NAME, create_trainer
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.servers import wait_until
from celery.exceptions import Retry

_HOLDER = """
import sys, time
from bookwheel_ml.training.lease import TrainingLeaseLostError, training_lease
from bookwheel_stores.streams import connect_redis
with training_lease(connect_redis(sys.argv[1]), "run", seconds=1) as lease:
    print(lease is not None, flush=True)
    sys.stdin.readline()
    try:
        lease.ensure_held()
        print("held", flush=True)
    except TrainingLeaseLostError:
        print("lost", flush=True)
    sys.stdin.readline()
"""
_KEY = "bookwheel:training-run:run:lease"


def _start_holder(redis_url: str) -> "subprocess.Popen[str]":
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, redis_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    return holder


def test_a_lease_has_one_holder_until_it_is_released(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    with training_lease(redis, "run") as first, training_lease(redis, "run") as second:
        assert first is not None
        assert second is None
        first.ensure_held()
    with training_lease(redis, "run") as third:
        assert third is not None


def test_a_lease_is_renewed_while_its_holder_lives_and_expires_after_its_death(redis_url: str) -> None:
    holder = _start_holder(redis_url)
    try:
        with pytest.raises(TimeoutError):
            wait_until(lambda: _is_free(redis_url), seconds=2.5, what="the lease of a living holder expired")
    finally:
        holder.kill()
        holder.communicate()
    wait_until(lambda: _is_free(redis_url), seconds=10, what="the lease of a dead holder expired")


def test_a_stalled_holder_notices_the_loss_and_does_not_touch_the_next_holders_lease(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    stalled = _start_holder(redis_url)
    try:
        os.kill(stalled.pid, signal.SIGSTOP)
        wait_until(lambda: not redis.exists(_KEY), seconds=10, what="the lease of a stalled holder expired")
        with training_lease(redis, "run", seconds=60) as lease:
            assert lease is not None
            token = redis.get(_KEY)
            os.kill(stalled.pid, signal.SIGCONT)
            assert stalled.stdin is not None
            assert stalled.stdout is not None
            stalled.stdin.write("\n")
            stalled.stdin.flush()
            assert stalled.stdout.readline() == "lost\n"
            time.sleep(0.6)  # at least two of its renewals
            assert redis.get(_KEY) == token
            assert redis.ttl(_KEY) > 50
            stalled.communicate("\n", timeout=20)
            assert redis.get(_KEY) == token
            lease.ensure_held()
    finally:
        stalled.kill()
        stalled.communicate()
        redis.close()


def test_a_run_of_another_trainer_is_retried_later(redis_url: str) -> None:
    trainer = create_trainer(MlSettings(redis_url=redis_url))
    with training_lease(connect_redis(redis_url), "run") as lease:
        assert lease is not None
        with pytest.raises(Retry):
            trainer.tasks[TASK_NAME].apply(args=["run"], throw=True).get()


def _is_free(url: str) -> bool:
    redis = connect_redis(url)
    try:
        with training_lease(redis, "run", seconds=1) as lease:
            return lease is not None
    finally:
        redis.close()
