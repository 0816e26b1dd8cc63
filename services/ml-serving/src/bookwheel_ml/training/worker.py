"""The trainer: a Celery worker that executes training runs."""

import socket
from collections.abc import Callable
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
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from bookwheel_ml.settings import MlSettings
from bookwheel_ml.training.lease import TrainingLeaseLostError, training_lease
from bookwheel_ml.training.runs import TrainingRunStore

logger = get_logger(__name__)

QUEUE_NAME = "training"
TASK_NAME = "bookwheel.train"
_TIME_LIMIT_SECONDS = 30 * 60
_PING_TIMEOUT_SECONDS = 2.0  # shorter than the timeout of a probe of /readyz
_READY_SECONDS = 20.0
"""The trainer stays ready for this long after a reply: on a busy machine a ping may take longer than its timeout."""
_STALLED_SECONDS = 120.0
"""After this time without a reply to a ping, the trainer counts as stalled and is restarted."""
_REDELIVERY_SECONDS = 60
"""The queue redelivers a run that is not finished after this time. The lease prevents a second execution."""


def create_celery(redis_url: str) -> Celery:
    """Returns the unconnected Celery app. Its Redis keys have a prefix, because the processor uses Celery too."""
    celery = Celery("bookwheel-trainer", broker=redis_url)
    celery.conf.update(
        task_default_queue=QUEUE_NAME,
        task_ignore_result=True,
        task_acks_late=True,  # redeliver the run of a trainer that died; `TrainingRunStore.start` counts the attempts
        task_reject_on_worker_lost=True,
        task_time_limit=_TIME_LIMIT_SECONDS,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": "bookwheel-trainer:",
            "visibility_timeout": _REDELIVERY_SECONDS,
            "socket_timeout": 10,
        },
    )
    return celery


def enqueue_training(celery: Celery, run_id: str) -> None:
    """Sends the run to the trainer's queue. Raises redis.RedisError while Redis is unavailable."""
    try:
        celery.send_task(TASK_NAME, args=[run_id], queue=QUEUE_NAME, retry=False)
    except OperationalError as error:
        raise RedisConnectionError(str(error)) from error


def create_trainer(settings: MlSettings) -> Celery:
    """Returns the Celery app with its task. The first run connects to the stores and imports MLflow."""
    celery = create_celery(settings.redis_url)

    @setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def configure_trainer_logs(**_signal: Any) -> None:
        configure_logs("trainer", settings.log_level)

    @celery.task(name=TASK_NAME, bind=True, max_retries=None, shared=False)  # type: ignore[untyped-decorator]  # Celery has no types
    def train(task: Task, run_id: str) -> None:
        with training_lease(connect_redis(settings.redis_url), run_id) as lease:
            if lease is None:
                raise task.retry(countdown=_REDELIVERY_SECONDS / 2)
            try:
                with count_task(TASK_NAME):
                    run_training(run_id, settings, ensure_lease_held=lease.ensure_held)
            except TrainingLeaseLostError as error:
                logger.warning("training stopped", run_id=run_id, reason=str(error))
                raise task.retry(countdown=_REDELIVERY_SECONDS / 2) from error

    return celery


def run_trainer(settings: MlSettings) -> None:
    """Runs the worker until it is stopped."""
    celery = create_trainer(settings)
    worker_name = f"celery@{socket.gethostname()}"
    progress = Progress()

    def readiness_error() -> str | None:
        """Returns why the worker does not reply to pings, or None if it does. A training run does not block a ping."""
        try:
            replies = celery.control.ping(destination=[worker_name], timeout=_PING_TIMEOUT_SECONDS)
        except (RedisError, OperationalError, OSError) as error:
            progress.record()  # without Redis no ping arrives, so this is not a stall
            return f"Redis is unavailable: {error}"
        if replies:
            progress.record()
        age = progress.age()
        return None if age is not None and age < _READY_SECONDS else f"{worker_name} does not respond"

    heartbeat = HeartbeatPublisher(connect_redis(settings.redis_url), "trainer", get_error=readiness_error)
    get_stall_error = stalled_check(progress, within=_STALLED_SECONDS)

    def liveness_error() -> str | None:
        return None if progress.age() is None else get_stall_error()

    def start(**_signal: Any) -> None:
        progress.record()
        heartbeat.start()

    def stop(**_signal: Any) -> None:
        heartbeat.stop()

    worker_ready.connect(start, weak=False)
    worker_shutting_down.connect(stop, weak=False)
    serve_health(settings.host, settings.metrics_port, HealthChecks(liveness_error, readiness_error))
    worker_options = ["worker", "--queues", QUEUE_NAME, "--concurrency", "1", "--loglevel", settings.log_level]
    celery.worker_main([*worker_options, "--without-gossip", "--without-mingle", "--without-heartbeat"])


def run_training(run_id: str, settings: MlSettings, *, ensure_lease_held: Callable[[], None] = lambda: None) -> None:
    """Trains a model for the run and stores the run's result. Raises TrainingLeaseLostError if the lease expired."""
    from bookwheel_ml.registry.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - imports MLflow and scikit-learn,
    from bookwheel_ml.training.pipeline import train_and_register  # noqa: PLC0415 - which takes 15 s

    runs = TrainingRunStore(connect_redis(settings.redis_url), enqueue=lambda _: None)
    run = runs.start(run_id)
    if run is None:
        logger.warning("training run skipped", run_id=run_id)
        return
    with traced(run.traceparent):
        engine = connect_database(settings.records_url)
        try:
            model = train_and_register(
                BookReader(engine),
                MlflowRegistry(settings.registry_uri),
                tree_count=settings.forest_trees,
                ensure_lease_held=ensure_lease_held,
            )
            ensure_lease_held()
        except TrainingLeaseLostError:
            raise
        except Exception as error:
            ensure_lease_held()
            runs.fail(run, f"{type(error).__name__}: {error}")
            logger.exception("training failed", run_id=run_id)
        else:
            runs.complete(run, version=model.version, alias=model.aliases[0], verdict=model.report.verdict)
        finally:
            engine.dispose()
