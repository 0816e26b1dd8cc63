"""The Celery app of the trainer, and its one thin task."""

import socket
from typing import Any

from bookwheel_runtime.health_server import HealthChecks, Progress, serve_health, stalled_check
from bookwheel_runtime.logs import configure_logs, get_logger
from bookwheel_runtime.metrics import count_task
from bookwheel_runtime.traces import traced
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.records import BookReader, connect_database
from bookwheel_stores.streams import connect_redis
from celery import Celery, Task
from celery.signals import setup_logging, worker_ready, worker_shutting_down
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError

from bookwheel_ml.settings import MlSettings
from bookwheel_ml.training_lease import training_lease
from bookwheel_ml.training_runs import TrainingRuns

logger = get_logger(__name__)

QUEUE = "training"
TASK = "bookwheel.train"
_TIME_LIMIT = 30 * 60
_PATIENCE = 3.0
_DEAF_SECONDS = 120.0
"""Seconds without an answer to its own calls after which it has to be restarted."""
_HANDED_OUT_AGAIN = 60
"""Seconds until a run that was not finished is handed out again, whether its trainer died or is still at it: the lease
tells which."""


def create_celery(redis_url: str) -> Celery:
    """Connects at first use. Its keys in Redis have a prefix, since the processor has its own Celery app there."""
    celery = Celery("bookwheel-trainer", broker=redis_url)
    celery.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,  # a run whose trainer dies is handed out again; `TrainingRuns.start` counts how often
        task_reject_on_worker_lost=True,
        task_time_limit=_TIME_LIMIT,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": "bookwheel-trainer:",
            "visibility_timeout": _HANDED_OUT_AGAIN,
            "socket_timeout": 10,
        },
    )
    return celery


def send_training(celery: Celery, run_id: str) -> None:
    """Raises redis.RedisError while Redis is away, as everything else here does."""
    try:
        celery.send_task(TASK, args=[run_id], queue=QUEUE, retry=False)
    except OperationalError as error:
        raise RedisAway(str(error)) from error


def create_trainer(settings: MlSettings) -> Celery:
    """The app with its task. Nothing is connected, and MLflow not imported, before the first run."""
    celery = create_celery(settings.redis_url)

    @setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def own_logs(**_signal: Any) -> None:
        configure_logs("trainer", settings.log_level)

    @celery.task(name=TASK, bind=True, max_retries=None, shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def train(task: Task, run_id: str) -> None:
        with training_lease(connect_redis(settings.redis_url), run_id) as is_mine:
            if not is_mine:
                raise task.retry(countdown=_HANDED_OUT_AGAIN / 2)
            with count_task(TASK):
                run_training(run_id, settings)

    return celery


def run_trainer(settings: MlSettings) -> None:
    """Blocks until the trainer is stopped."""
    celery = create_trainer(settings)
    name = f"celery@{socket.gethostname()}"
    progress = Progress()

    def fault() -> str | None:
        """It has one process that trains, for minutes, and one that takes messages: that one is asked."""
        try:
            answers = celery.control.ping(destination=[name], timeout=_PATIENCE)
        except (RedisError, OperationalError, OSError) as error:
            progress.record()  # nobody is heard without Redis
            return f"Redis does not answer: {error}"
        if answers:
            progress.record()
        return None if answers else f"{name} does not answer within {_PATIENCE:.0f} s"

    herald = HeartbeatPublisher(connect_redis(settings.redis_url), "trainer", fault=fault)

    deaf = stalled_check(progress, within=_DEAF_SECONDS)

    def alive() -> str | None:
        return None if progress.age() is None else deaf()

    def begin(**_signal: Any) -> None:
        progress.record()
        herald.start()

    def end(**_signal: Any) -> None:
        herald.stop()

    worker_ready.connect(begin, weak=False)
    worker_shutting_down.connect(end, weak=False)
    serve_health(settings.host, settings.metrics_port, HealthChecks(alive, fault))
    worker = ["worker", "--queues", QUEUE, "--concurrency", "1", "--loglevel", settings.log_level]
    celery.worker_main([*worker, "--without-gossip", "--without-mingle", "--without-heartbeat"])


def run_training(run_id: str, settings: MlSettings) -> None:
    """Trains for a requested run and writes down what came of it."""
    from bookwheel_ml.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - MLflow and scikit-learn: 15 s to import,
    from bookwheel_ml.training import train_and_register  # noqa: PLC0415 - which an idle trainer saves

    runs = TrainingRuns(connect_redis(settings.redis_url), send=lambda _: None)
    run = runs.start(run_id)
    if run is None:
        logger.warning("no such training run, or it has ended", run_id=run_id)
        return
    with traced(run.traceparent):
        engine = connect_database(settings.records_url)
        try:
            made = train_and_register(
                BookReader(engine), MlflowRegistry(settings.registry_uri), trees=settings.forest_trees
            )
        except Exception as error:
            runs.fail(run, f"{type(error).__name__}: {error}")
            logger.exception("training failed", run_id=run_id)
        else:
            runs.complete(run, version=made.version, alias=made.aliases[0], verdict=made.report.verdict)
        finally:
            engine.dispose()
