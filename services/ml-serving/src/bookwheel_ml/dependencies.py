"""The objects that the routers share."""

from dataclasses import dataclass

from bookwheel_stores.records import BookReader
from fastapi import Request

from bookwheel_ml.registry.process import RegistryProcess
from bookwheel_ml.serving.champion import ChampionWatcher
from bookwheel_ml.serving.prediction_log import PredictionLog
from bookwheel_ml.training.runs import TrainingRuns


@dataclass(frozen=True, slots=True)
class Dependencies:
    books: BookReader
    registry: RegistryProcess
    champion: ChampionWatcher
    prediction_log: PredictionLog
    training_runs: TrainingRuns


async def get_dependencies(request: Request) -> Dependencies:
    """A FastAPI dependency. It is async because FastAPI runs plain functions in a thread, which takes 0.3 ms."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies
