"""Trains a model through the API and waits until it is served."""

import time
from collections.abc import Callable
from typing import Any

from bookwheel_local.client import SuiteClient
from bookwheel_local.errors import LocalError, RequestFailedError
from bookwheel_local.progress import Progress

_POLL_SECONDS = 0.5
_TRAINING_SECONDS = 600.0
_SWAP_SECONDS = 60.0


def registered(client: SuiteClient) -> bool:
    """Whether there is a model to serve. The first question takes long: the service loads MLflow for it."""
    models: list[dict[str, Any]] = client.get("/api/v1/ml/models")["items"]
    return any("champion" in model["aliases"] for model in models)


def predicted(client: SuiteClient) -> bool:
    """Whether the rating of a made-up book is predicted."""
    book = {"title": "A first question", "price": {"amount": "20.00", "currency": "GBP"}, "stock": 5}
    try:
        client.post("/api/v1/ml/predictions", {"books": [book]})
    except RequestFailedError:
        return False
    return True


def train(client: SuiteClient, progress: Progress, *, sleep: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """Requests a training run and follows it; returns it once it has ended. Raises LocalError if it failed."""
    run: dict[str, Any] = client.post("/api/v1/ml/training-runs", {})
    started = time.monotonic()
    while run["state"] in {"queued", "running"}:
        waited = time.monotonic() - started
        if waited > _TRAINING_SECONDS:
            raise LocalError(f"training run {run['id']} is still {run['state']}; see: make logs SERVICE=trainer")
        progress.update(f"training a model: {run['state']} for {waited:.0f} s")
        sleep(_POLL_SECONDS)
        run = client.get(f"/api/v1/ml/training-runs/{run['id']}")
    progress.end_line()
    if run["state"] != "complete":
        raise LocalError(
            f"training run {run['id']} {run['state']}: {run.get('reason')}; see: make logs SERVICE=trainer"
        )
    return run


def wait_until_served(client: SuiteClient, progress: Progress, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Returns once the service has picked a model up. Raises LocalError after a minute without one."""
    deadline = time.monotonic() + _SWAP_SECONDS
    while not predicted(client):
        if time.monotonic() > deadline:
            raise LocalError("there is a model, but no prediction is answered; see: make logs SERVICE=ml-serving")
        progress.update("waiting until the model is served")
        sleep(_POLL_SECONDS)
    progress.end_line()
