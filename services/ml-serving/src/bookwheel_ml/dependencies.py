"""The objects that the routers share."""

from dataclasses import dataclass

from bookwheel_stores.records import BookReader
from fastapi import Request

from bookwheel_ml.registry.process import RegistryProcess
from bookwheel_ml.serving.champion import ChampionWatcher
from bookwheel_ml.serving.prediction_log import PredictionLog
from bookwheel_ml.training.runs import TrainingRunStore


@dataclass(frozen=True, slots=True)
class Dependencies:
    books: BookReader
    registry: RegistryProcess
    champion: ChampionWatcher
    prediction_log: PredictionLog
    training_runs: TrainingRunStore


async def get_dependencies(request: Request) -> Dependencies:
    """Returns the shared objects. Async, because FastAPI runs plain functions in a thread, which takes 0.3 ms."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies
