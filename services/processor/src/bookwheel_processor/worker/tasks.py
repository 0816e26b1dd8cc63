"""Celery's tasks: nudges without data. Losing one, or having one too many, does no harm."""

from collections.abc import Callable
from types import MappingProxyType

from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.metrics import count_task
from bookwheel_stores.search import SearchError
from celery import Celery
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from bookwheel_processor.lake import jobs as lake_rounds
from bookwheel_processor.webhooks.dispatch import deliver_webhooks
from bookwheel_processor.worker import jobs as rounds
from bookwheel_processor.worker.jobs import Dependencies

INGEST, PROJECT = "bookwheel.processor.ingest", "bookwheel.processor.project"
PREDICTIONS, SWEEP = "bookwheel.processor.predictions", "bookwheel.processor.sweep"
REINDEX = "bookwheel.processor.reindex"
BRONZE, SILVER = "bookwheel.processor.bronze", "bookwheel.processor.silver"
EXPORT, LAKE_SWEEP = "bookwheel.processor.export", "bookwheel.processor.lake_sweep"
REPLAY, WEBHOOKS = "bookwheel.processor.replay", "bookwheel.processor.webhooks"
QUEUES = MappingProxyType(
    {INGEST: "ingest", PROJECT: "project", WEBHOOKS: "webhooks"}
    | dict.fromkeys((PREDICTIONS, SWEEP, REPLAY, REINDEX), "maintenance")
    | dict.fromkeys((BRONZE, SILVER, EXPORT, LAKE_SWEEP), "lake"),
)
PERIODS = MappingProxyType(
    {INGEST: 0.5, PROJECT: 2.0, PREDICTIONS: 2.0, SWEEP: 60.0, REPLAY: 2.0, REINDEX: 2.0, BRONZE: 2.0}
    | {SILVER: 10.0, EXPORT: 5.0, LAKE_SWEEP: 600.0, WEBHOOKS: 1.0}
)
"""Seconds between the scheduler's nudges. A nudge expires when the next one is due."""
_log = get_logger(__name__)


def register_tasks(app: Celery, parts: Callable[[], Dependencies]) -> None:
    """`parts` is asked for in the worker's child: connections must not cross a fork."""
    _register(app, INGEST, lambda: rounds.ingest_round(parts()))
    _register(app, PROJECT, lambda: rounds.project_round(parts()))
    _register(app, PREDICTIONS, lambda: rounds.predictions_round(parts()))
    _register(app, SWEEP, lambda: rounds.sweep_round(parts()))
    _register(app, REPLAY, lambda: rounds.replay_round(parts()))
    _register(app, REINDEX, lambda: rounds.reindex_round(parts()))
    _register(app, BRONZE, lambda: lake_rounds.bronze_round(parts()))
    _register(app, SILVER, lambda: lake_rounds.silver_round(parts()))
    _register(app, EXPORT, lambda: lake_rounds.export_round(parts()))
    _register(app, LAKE_SWEEP, lambda: lake_rounds.lake_sweep_round(parts()))
    _register(app, WEBHOOKS, lambda: deliver_webhooks(parts()))


def _register(app: Celery, name: str, work: Callable[[], object]) -> None:
    def run() -> None:
        try:
            with count_task(name):
                work()
        except (RedisError, SQLAlchemyError, SearchError, OSError) as error:
            # Whatever was being done is pending still, and a nudge comes again.
            _log.warning("a store is away or refuses", task=name, error=str(error)[:500])

    app.task(run, name=name, ignore_result=True, shared=False)


def nudge(app: Celery, name: str, *, expires: float | None = None) -> None:
    """Without `expires`, in seconds, when the scheduler's next one is due."""
    app.send_task(name, queue=QUEUES[name], expires=expires or max(1.0, PERIODS[name]), retry=False)
