"""What the routes of a running service share."""

from dataclasses import dataclass
from typing import Literal

from bookwheel_stores.records import BookReader
from fastapi import Request
from pydantic import BaseModel

from bookwheel_ml.champion import ChampionWatch
from bookwheel_ml.prediction_log import PredictionLog
from bookwheel_ml.registry_process import RegistryProcess
from bookwheel_ml.training_runs import TrainingRuns


@dataclass(frozen=True, slots=True)
class Dependencies:
    books: BookReader
    registry: RegistryProcess
    champion: ChampionWatch
    prediction_log: PredictionLog
    training_runs: TrainingRuns


async def services(request: Request) -> Dependencies:
    """A FastAPI dependency; async, since FastAPI hands a plain function to a thread, for 0.3 ms a request."""
    found: Dependencies = request.app.state.services
    return found


class Total(BaseModel):
    """How many items a list has over all its pages."""

    value: int
    relation: Literal["eq", "gte"] = "eq"
