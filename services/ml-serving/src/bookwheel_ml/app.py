"""Wires the serving process: creates the app and the objects that its routers share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property, partial

from bookwheel_contracts.problems import UnavailableError
from bookwheel_contracts.redis_keys import PREDICTION_STREAM
from bookwheel_contracts.status import ModelRef
from bookwheel_runtime.app_factory import create_service_app
from bookwheel_runtime.healthcheck import get_health_error
from bookwheel_runtime.problem_responses import add_unavailable_handler
from bookwheel_runtime.tokens import TokenVerifier
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.records import DATABASE_ERRORS, BookReader, connect_database
from bookwheel_stores.streams import StreamWriter, connect_redis
from fastapi import FastAPI

from bookwheel_ml.dependencies import Dependencies
from bookwheel_ml.registry.process import RegistryProcess
from bookwheel_ml.routers import models, predictions, training_data, training_runs
from bookwheel_ml.serving.champion import ChampionWatcher
from bookwheel_ml.serving.prediction_log import PredictionLog
from bookwheel_ml.settings import MlSettings
from bookwheel_ml.training.runs import TrainingRunStore


def create_app(settings: MlSettings) -> FastAPI:
    """Creates the API. Its server must set `app.state.dependencies` from `open_dependencies`."""
    app = create_service_app(
        title="Bookwheel ML serving",
        description="Rating predictions, the models behind them, and their training data.",
        token_verifier=TokenVerifier(jwks_url=settings.jwks_url, issuer=settings.issuer),
        readiness={},  # BentoML answers `/readyz`
    )
    add_unavailable_handler(app, DATABASE_ERRORS, detail="The records are unavailable: retry later.")
    for router_module in (predictions, models, training_data, training_runs):
        app.include_router(router_module.router)
    return app


@asynccontextmanager
async def open_dependencies(settings: MlSettings) -> AsyncIterator[Dependencies]:
    """Opens the connections, restores the champion and starts its watcher. Closes them when the context ends."""
    redis = connect_redis(settings.redis_url)
    engine = connect_database(settings.records_url)
    registry = RegistryProcess(settings.registry_uri)
    champion = ChampionWatcher(registry, cache=settings.model_cache, poll_seconds=settings.champion_poll_seconds)
    prediction_log = PredictionLog(
        StreamWriter(redis, PREDICTION_STREAM),
        buffer_limit=settings.prediction_log_limit,
        stream_limit=settings.prediction_stream_limit,
    )
    champion.restore()
    prediction_log.start()
    watch_task = asyncio.create_task(champion.watch())

    def get_served_model() -> ModelRef | None:
        try:
            return ModelRef(name=champion.current.name, version=champion.current.version)
        except UnavailableError:
            return None

    heartbeat = HeartbeatPublisher(
        redis,
        "ml-serving",
        get_error=partial(get_health_error, settings.port, "/readyz"),
        model=get_served_model,
    )
    heartbeat.start()
    try:
        yield Dependencies(
            books=BookReader(engine),
            registry=registry,
            champion=champion,
            prediction_log=prediction_log,
            training_runs=TrainingRunStore(redis, _TrainingQueue(settings.redis_url)),
        )
    finally:
        await asyncio.to_thread(heartbeat.stop)
        watch_task.cancel()
        await asyncio.to_thread(prediction_log.stop)
        registry.close()
        engine.dispose()
        redis.close()


class _TrainingQueue:
    """Enqueues training runs. Imports Celery at the first training run, because most replicas only predict."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url

    def __call__(self, run_id: str) -> None:
        self._enqueue(run_id)

    @cached_property
    def _enqueue(self) -> Callable[[str], None]:
        from bookwheel_ml.training.worker import create_celery, enqueue_training  # noqa: PLC0415 - lazy import

        return partial(enqueue_training, create_celery(self._redis_url))
