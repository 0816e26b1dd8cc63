"""Wires the processor's programs: the Celery worker and the scheduler."""

import logging
import os
import signal
import threading
from functools import cache
from typing import Any

from bookwheel_contracts.redis_keys import CELERY_KEY_PREFIX
from bookwheel_runtime.health_server import HealthChecks, Progress, serve_health, stalled_check
from bookwheel_runtime.logs import configure_logs
from bookwheel_runtime.memory import collect_garbage_rarely
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.records import connect_database
from bookwheel_stores.streams import connect_redis
from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutting_down

from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.worker.dependencies import Dependencies, create_dependencies
from bookwheel_processor.worker.scheduler import MonotonicScheduler
from bookwheel_processor.worker.suite_metrics import SuiteMetrics
from bookwheel_processor.worker.tasks import INGEST, PERIODS, PROJECT, register_tasks, trigger
from bookwheel_processor.worker.watchdog import Watchdog

_VERBOSE_LOGGERS = ("celery.worker.strategy", "celery.app.trace")  # two lines for every trigger
_SCHEDULER_STALLED_SECONDS = 60.0  # longer than an unavailable broker blocks a trigger


def create_app(settings: ProcessorSettings, progress: Progress | None = None) -> Celery:
    """Create the Celery application. It has no I/O until a worker or scheduler runs it."""
    app = Celery("bookwheel-processor", broker=settings.redis_url)
    app.conf.update(
        broker_transport_options={
            "global_keyprefix": CELERY_KEY_PREFIX,
            "health_check_interval": 5,  # detects a silently dead connection in 11 s instead of 51
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        task_default_queue="maintenance",
    )

    @cache
    def get_dependencies() -> Dependencies:
        collect_garbage_rarely()
        return create_job_dependencies(app, settings, progress)

    register_tasks(app, get_dependencies)
    return app


def create_job_dependencies(app: Celery, settings: ProcessorSettings, progress: Progress | None = None) -> Dependencies:
    """Create the dependencies of the jobs. Jobs trigger other jobs through `app`."""
    return create_dependencies(
        settings,
        trigger_ingest=lambda: trigger(app, INGEST),
        trigger_projection=lambda: trigger(app, PROJECT),
        progress=progress,
    )


def run_worker(settings: ProcessorSettings, *, concurrency: int, queues: str) -> None:
    """Run the worker until it is stopped."""
    progress = Progress()
    app = create_app(settings, progress)
    redis = connect_redis(settings.redis_url)
    watchdog = Watchdog(
        progress,
        redis,
        stalled_after=settings.stalled_after,
        trigger=lambda: trigger(app, INGEST, expires=settings.stalled_after),  # a busy worker runs the task late
        restart=lambda: os.kill(os.getpid(), signal.SIGQUIT),  # the supervisor then starts a new worker
    )
    is_ingest_worker = "ingest" in queues.split(",")  # other workers record no progress
    readiness_error = watchdog.readiness_error if is_ingest_worker else lambda: None
    heartbeat = HeartbeatPublisher(redis, "processor-worker", get_error=readiness_error, progress=progress.age)

    def start_threads(**_: Any) -> None:
        heartbeat.start()
        if is_ingest_worker:
            watchdog.start()

    def stop_threads(**_: Any) -> None:
        heartbeat.stop()
        watchdog.stop()

    _configure_celery_logs(settings)
    worker_ready.connect(start_threads, weak=False)
    worker_shutting_down.connect(stop_threads, weak=False)
    serve_health(settings.host, settings.metrics_port, HealthChecks(watchdog.liveness_error, readiness_error))
    app.worker_main(
        ["worker", f"--concurrency={concurrency}", f"--queues={queues}", "--without-mingle", "--without-gossip"]
    )


def run_scheduler(settings: ProcessorSettings) -> None:
    """Run the scheduler until SIGTERM or SIGINT."""
    configure_logs("processor", settings.log_level)
    progress, stop = Progress(), threading.Event()
    app = create_app(settings, progress)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    scheduler = MonotonicScheduler(lambda name: trigger(app, name), PERIODS, progress)
    redis = connect_redis(settings.redis_url)
    metrics = SuiteMetrics(redis, connect_database(settings.database_url))
    serve_health(
        settings.host,
        settings.metrics_port,
        HealthChecks(stalled_check(progress, within=_SCHEDULER_STALLED_SECONDS), scheduler.get_error),
        (metrics,),
    )
    heartbeat = HeartbeatPublisher(redis, "processor-beat", get_error=scheduler.get_error, progress=progress.age)
    heartbeat.start()
    scheduler.run(stop)
    heartbeat.stop()


def _configure_celery_logs(settings: ProcessorSettings) -> None:
    def configure(**_: Any) -> None:
        configure_logs("processor", settings.log_level)
        for name in _VERBOSE_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)

    setup_logging.connect(configure, weak=False)
