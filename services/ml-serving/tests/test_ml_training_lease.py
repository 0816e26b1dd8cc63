"""One trainer at a time works on a run, and a killed one does not keep it."""

import subprocess
import sys

import pytest
from bookwheel_ml.settings import MlSettings
from bookwheel_ml.trainer import TASK, create_trainer
from bookwheel_ml.training_lease import training_lease
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.servers import wait_until
from celery.exceptions import Retry

HOLDER = """
import sys, time
from bookwheel_ml.training_lease import training_lease
from bookwheel_stores.streams import connect_redis
with training_lease(connect_redis(sys.argv[1]), "run", seconds=1) as is_mine:
    print(is_mine, flush=True)
    time.sleep(60)
"""


def test_a_lease_is_one_holders_until_it_ends(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    with training_lease(redis, "run") as first, training_lease(redis, "run") as second:
        assert (first, second) == (True, False)
    with training_lease(redis, "run") as third:
        assert third


def test_a_lease_outlasts_its_seconds_while_its_holder_lives_and_not_its_death(redis_url: str) -> None:
    redis = connect_redis(redis_url)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, redis_url], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with pytest.raises(TimeoutError):
            wait_until(lambda: _is_free(redis_url), seconds=2.5, what="the lease of a living holder lapsed")
    finally:
        holder.kill()
        holder.communicate()
    wait_until(lambda: _is_free(redis_url), seconds=10, what="the lease of a dead holder lapsed")
    redis.close()


def test_a_run_that_another_trainer_is_at_is_tried_later(redis_url: str) -> None:
    trainer = create_trainer(MlSettings(redis_url=redis_url))
    with training_lease(connect_redis(redis_url), "run") as is_mine:
        assert is_mine
        with pytest.raises(Retry):
            trainer.tasks[TASK].apply(args=["run"], throw=True).get()


def _is_free(url: str) -> bool:
    redis = connect_redis(url)
    try:
        with training_lease(redis, "run", seconds=1) as is_mine:
            return is_mine
    finally:
        redis.close()
