"""The Celery tasks. Their messages are triggers without data: losing or repeating one does no harm."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.metrics import count_task
from bookwheel_stores.search import SearchError
from celery import Celery
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from bookwheel_processor.worker import jobs, lake_jobs
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.ingest_job import run_ingest

INGEST, PROJECT = "bookwheel.processor.ingest", "bookwheel.processor.project"
BRONZE, SILVER = "bookwheel.processor.bronze", "bookwheel.processor.silver"
logger = get_logger(__name__)


class PeriodicTask(NamedTuple):
    """`period` in seconds. A trigger expires after one period, but not before 1 s."""

    queue: str
    period: float
    job: Callable[[Dependencies], object]

    @property
    def expires(self) -> float:
        return max(1.0, self.period)


TASKS: Mapping[str, PeriodicTask] = MappingProxyType(
    {
        INGEST: PeriodicTask("ingest", 0.5, run_ingest),
        PROJECT: PeriodicTask("project", 2, jobs.run_projection),
        "bookwheel.processor.webhooks": PeriodicTask("webhooks", 1, jobs.run_webhooks),
        "bookwheel.processor.predictions": PeriodicTask("maintenance", 2, jobs.run_predictions),
        "bookwheel.processor.replay": PeriodicTask("maintenance", 2, jobs.run_replay),
        "bookwheel.processor.reindex": PeriodicTask("maintenance", 2, jobs.run_reindexing),
        "bookwheel.processor.sweep": PeriodicTask("maintenance", 60, jobs.run_sweep),
        BRONZE: PeriodicTask("lake", 2, lake_jobs.run_bronze),
        SILVER: PeriodicTask("lake", 10, lake_jobs.run_silver),
        "bookwheel.processor.export": PeriodicTask("lake", 5, lake_jobs.run_export),
        "bookwheel.processor.lake_sweep": PeriodicTask("lake", 600, lake_jobs.run_lake_sweep),
    }
)
PERIODS = MappingProxyType({name: task.period for name, task in TASKS.items()})


def register_tasks(app: Celery, get_dependencies: Callable[[], Dependencies]) -> None:
    """Register all tasks. `get_dependencies` is called in the child process: connections must not cross a fork."""
    app.conf.task_routes = {name: {"queue": task.queue} for name, task in TASKS.items()}
    for name, task in TASKS.items():
        app.task(_create_task(name, task.job, get_dependencies), name=name, ignore_result=True, shared=False)


def _create_task(
    name: str, job: Callable[[Dependencies], object], get_dependencies: Callable[[], Dependencies]
) -> Callable[[], None]:
    def run() -> None:
        try:
            with count_task(name):
                job(get_dependencies())
        except (RedisError, SQLAlchemyError, SearchError, OSError) as error:
            # The work stays pending, and the next trigger is due soon.
            logger.warning("store unavailable", task=name, error=str(error)[:500])

    return run


def trigger(app: Celery, name: str, *, expires: float | None = None) -> None:
    """Make a worker run the task soon. `expires` in seconds; by default that of a periodic trigger."""
    app.send_task(name, expires=expires or TASKS[name].expires, retry=False)
