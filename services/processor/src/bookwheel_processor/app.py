"""Wires the processor: settings to stores, stores to rounds, rounds to Celery's tasks."""

import logging
import os
import signal
import socket
import threading
from functools import cache
from typing import Any

from bookwheel_contracts.redis_keys import CELERY_KEY_PREFIX
from bookwheel_runtime.health_server import HealthChecks, Progress, serve_health, stalled_check
from bookwheel_runtime.logs import configure_logs
from bookwheel_runtime.memory import collect_garbage_rarely
from bookwheel_stores.cache import Generation
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.lake import Lake, LakeAddress, Silver
from bookwheel_stores.records import ChangeFeed, IndexRefusals, connect_database
from bookwheel_stores.records.feed.snapshots import SnapshotReader
from bookwheel_stores.search import open_index_build, open_index_writer
from bookwheel_stores.streams import connect_redis
from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutting_down

from bookwheel_processor.lake.silver_projection import SilverProjection
from bookwheel_processor.search_index.projection import Projection
from bookwheel_processor.search_index.reindexing import Reindexing
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.worker.beat import Beat
from bookwheel_processor.worker.jobs import Dependencies
from bookwheel_processor.worker.suite_metrics import SuiteMetrics
from bookwheel_processor.worker.tasks import INGEST, PERIODS, PROJECT, nudge, register_tasks
from bookwheel_processor.worker.watchdog import Watchdog

_CHATTY = ("celery.worker.strategy", "celery.app.trace")  # lines for every nudge, twice a second

_BEAT_STALLED = 60.0  # seconds: longer than a broker that is away keeps a nudge waiting


def create_app(settings: ProcessorSettings, progress: Progress | None = None) -> Celery:
    """The Celery application. No I/O until a worker or a scheduler runs it. `progress` is the worker's."""
    app = Celery("bookwheel-processor", broker=settings.redis_url)
    app.conf.update(
        broker_transport_options={
            "global_keyprefix": CELERY_KEY_PREFIX,
            "health_check_interval": 5,  # a connection that is dead without an end is noticed in 11 s instead of 51
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
    def parts() -> Dependencies:
        collect_garbage_rarely()
        return create_parts(settings, app, progress)

    register_tasks(app, parts)
    return app


def create_parts(settings: ProcessorSettings, app: Celery, progress: Progress | None = None) -> Dependencies:
    engine = connect_database(settings.database_url)
    redis = connect_redis(settings.redis_url)
    lake = Lake(LakeAddress(**settings.lake_options()))
    projection = Projection(ChangeFeed(engine), IndexRefusals(engine), Generation(redis), settings.projection_batch)
    return Dependencies(
        settings=settings,
        engine=engine,
        redis=redis,
        projection=projection,
        progress=progress or Progress(),
        open_index=lambda: open_index_writer(settings.search_url),
        lake=lake,
        silver=SilverProjection(ChangeFeed(engine), SnapshotReader(engine), Silver(lake)),
        reindexing=Reindexing(redis, projection, lambda: open_index_build(settings.search_url)),
        consumer=socket.gethostname(),
        nudge_ingest=lambda: nudge(app, INGEST),
        nudge_project=lambda: nudge(app, PROJECT),
    )


def run_worker(settings: ProcessorSettings, *, concurrency: int, queues: str) -> None:
    """Blocks until the worker is stopped."""
    progress = Progress()
    app = create_app(settings, progress)
    redis = connect_redis(settings.redis_url)
    watchdog = Watchdog(
        progress,
        redis,
        stalled_after=settings.stalled_after,
        nudge=lambda: nudge(app, INGEST, expires=settings.stalled_after),  # a busy worker takes it, if late
        restart=lambda: os.kill(os.getpid(), signal.SIGQUIT),  # at once: its supervisor starts it anew
    )
    takes_in = "ingest" in queues.split(",")  # else there is no progress to watch
    ready = watchdog.ready if takes_in else lambda: None
    herald = HeartbeatPublisher(redis, "processor-worker", fault=ready, progress=progress.age)

    def begin(**_: Any) -> None:
        herald.start()
        if takes_in:
            watchdog.start()

    def end(**_: Any) -> None:
        herald.stop()
        watchdog.stop()

    _log_as(settings)
    worker_ready.connect(begin, weak=False)
    worker_shutting_down.connect(end, weak=False)
    serve_health(settings.host, settings.metrics_port, HealthChecks(watchdog.alive, ready))
    app.worker_main(
        ["worker", f"--concurrency={concurrency}", f"--queues={queues}", "--without-mingle", "--without-gossip"]
    )


def run_beat(settings: ProcessorSettings) -> None:
    """Blocks until SIGTERM or SIGINT."""
    configure_logs("processor", settings.log_level)
    progress, stop = Progress(), threading.Event()
    app = create_app(settings, progress)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    beat = Beat(lambda name: nudge(app, name), PERIODS, progress)
    redis = connect_redis(settings.redis_url)
    metrics = SuiteMetrics(redis, connect_database(settings.database_url))
    serve_health(
        settings.host,
        settings.metrics_port,
        HealthChecks(stalled_check(progress, within=_BEAT_STALLED), beat.fault),
        (metrics,),
    )
    herald = HeartbeatPublisher(redis, "processor-beat", fault=beat.fault, progress=progress.age)
    herald.start()
    beat.run(stop)
    herald.stop()


def _log_as(settings: ProcessorSettings) -> None:
    def configure(**_: Any) -> None:
        configure_logs("processor", settings.log_level)
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)

    setup_logging.connect(configure, weak=False)
