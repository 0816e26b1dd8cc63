"""Trains a model through the API and waits until it is served."""

import time
from collections.abc import Callable
from typing import Any

from bookwheel_local.client import SuiteClient
from bookwheel_local.errors import LocalError, RequestFailed
from bookwheel_local.progress import Progress

_POLL_SECONDS = 0.5
_TRAINING_SECONDS = 600.0
_SWAP_SECONDS = 60.0


def champion(client: SuiteClient) -> dict[str, Any] | None:
    """The model that is served, as `GET /ml/models` shows it; None where there is none yet."""
    models: list[dict[str, Any]] = client.get("/api/v1/ml/models")["items"]
    return next((model for model in models if "champion" in model["aliases"]), None)


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


def wait_until_served(
    client: SuiteClient, progress: Progress, *, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """The prediction of a made-up book, once the service has picked a model up."""
    book = {"title": "A first question", "price": {"amount": "20.00", "currency": "GBP"}, "stock": 5}
    deadline = time.monotonic() + _SWAP_SECONDS
    while True:
        try:
            answer: dict[str, Any] = client.post("/api/v1/ml/predictions", {"books": [book]})
        except RequestFailed:
            if time.monotonic() > deadline:
                raise
            progress.update("waiting until the model is served")
            sleep(_POLL_SECONDS)
        else:
            progress.end_line()
            return answer
