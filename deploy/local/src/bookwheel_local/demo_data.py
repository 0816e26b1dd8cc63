"""Loads demo data into a new suite, with a crawl and a training run, and formats example requests."""

import time
from collections.abc import Callable
from typing import Any

from bookwheel_contracts.crawls import CrawlRun, RunState

from bookwheel_local.client import DEMO_USER, SuiteClient
from bookwheel_local.crawling import crawl_summary, follow_crawl, has_ended, request_crawl
from bookwheel_local.errors import LocalError, RequestFailedError
from bookwheel_local.progress import ProgressLine

DEMO_SOURCE = "demo"
_POLL_SECONDS = 0.5
_TRAINING_SECONDS = 600.0
_MODEL_SWAP_SECONDS = 60.0
_HEARTBEAT_SECONDS = 60.0
_INDEX_SECONDS = 300.0


def load_demo_data(client: SuiteClient, progress: ProgressLine) -> None:
    """Crawls the demo shop and trains a model if the suite is new. Raises LocalError."""
    runs = [CrawlRun.model_validate(run) for run in client.get("/api/v1/crawls", source=DEMO_SOURCE, limit=20)["items"]]
    is_new = not any(run.state is RunState.COMPLETE and run.searchable for run in runs)
    if is_new:
        unfinished = [run for run in runs if not has_ended(run)]
        run = follow_crawl(client, unfinished[0] if unfinished else request_crawl(client, DEMO_SOURCE, None), progress)
        progress.finish(crawl_summary(run))
        if run.state is not RunState.COMPLETE:
            raise LocalError("the crawl of the demo shop did not complete: see `make logs SERVICE=scraper`")
    if not is_predicting(client) and (is_new or not has_champion(client)):
        training_run = train(client, progress)
        evaluation = training_run["verdict"]
        progress.finish(f"trained a first model: {evaluation}")
    wait_for_index(client, progress)
    wait_for_model(client, progress)
    wait_for_heartbeats(client, progress)


def has_champion(client: SuiteClient) -> bool:
    """Whether a model is registered as champion. The first request is slow, because the service then imports MLflow."""
    models: list[dict[str, Any]] = client.get("/api/v1/ml/models")["items"]
    return any("champion" in model["aliases"] for model in models)


def is_predicting(client: SuiteClient) -> bool:
    book = {"title": "Any book", "price": {"amount": "20.00", "currency": "GBP"}, "stock": 5}
    try:
        client.post("/api/v1/ml/predictions", {"books": [book]})
    except RequestFailedError:
        return False
    return True


def train(
    client: SuiteClient, progress: ProgressLine, *, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Requests a training run and returns it when it has ended. Raises LocalError if it fails or takes too long."""
    run: dict[str, Any] = client.post("/api/v1/ml/training-runs", {})
    started_at = time.monotonic()
    while run["state"] in {"queued", "running"}:
        seconds = time.monotonic() - started_at
        if seconds > _TRAINING_SECONDS:
            raise LocalError(f"training run {run['id']} is still {run['state']}: see `make logs SERVICE=trainer`")
        progress.update(f"training a model: {run['state']} for {seconds:.0f} s")
        sleep(_POLL_SECONDS)
        run = client.get(f"/api/v1/ml/training-runs/{run['id']}")
    progress.clear()
    if run["state"] != "complete":
        raise LocalError(
            f"training run {run['id']} {run['state']}: {run.get('reason')}: see `make logs SERVICE=trainer`"
        )
    return run


def wait_for_model(client: SuiteClient, progress: ProgressLine, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Returns when predictions succeed. Raises LocalError after one minute."""

    def missing() -> str | None:
        return None if is_predicting(client) else "the model"

    if not _wait(missing, progress, seconds=_MODEL_SWAP_SECONDS, sleep=sleep):
        raise LocalError("a model exists, but prediction requests fail: see `make logs SERVICE=ml-serving`")


def wait_for_index(client: SuiteClient, progress: ProgressLine, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Returns when a search finds a book. Raises LocalError after five minutes.

    After an upgrade to another mapping, the index starts empty and is filled in the background.
    """

    def missing() -> str | None:
        return None if client.get("/api/v1/books", limit=1)["items"] else "the search index"

    if not _wait(missing, progress, seconds=_INDEX_SECONDS, sleep=sleep):
        raise LocalError("the search index is empty: see `make logs SERVICE=processor-worker`")


def wait_for_heartbeats(
    client: SuiteClient, progress: ProgressLine, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Returns when the suite's status has a ready replica of each service, or after one minute.

    A new program publishes its first heartbeat some seconds after its probe succeeds.
    """

    def missing() -> str | None:
        services = client.get("/api/v1/status")["services"] or []
        names = [service["name"] for service in services if not service["ready"]]
        return None if services and not names else f"the heartbeats of {', '.join(names)}"

    _wait(missing, progress, seconds=_HEARTBEAT_SECONDS, sleep=sleep)


def _wait(
    missing: Callable[[], str | None], progress: ProgressLine, *, seconds: float, sleep: Callable[[float], None]
) -> bool:
    """Shows what is missing until `missing` returns None. Returns False after `seconds`."""
    deadline = time.monotonic() + seconds
    while (name := missing()) is not None:
        if time.monotonic() > deadline:
            break
        progress.update(f"waiting for {name}")
        sleep(_POLL_SECONDS)
    progress.clear()
    return name is None


def example_requests(client: SuiteClient, gateway_url: str, *, make_target_suffix: str = "") -> str:
    """Returns the last output of `make up`. `make_target_suffix` is appended to the names of make targets."""
    page: dict[str, Any] = client.get("/api/v1/books", sort="-rating", limit=1)
    book_id = page["items"][0]["id"]
    api = f"{gateway_url}/api/v1"
    token = f"$(make -s token{make_target_suffix})"
    return "\n".join(
        (
            "",
            f"Bookwheel is ready at {gateway_url} with {page['total']['value']:,} books; its API: {gateway_url}/docs",
            f"`make -s token{make_target_suffix}` prints an access token of {DEMO_USER}. Try, in this folder:",
            "",
            _curl(token, f"{api}/books?q=sea&facet=category&limit=3"),
            _curl(token, f"{api}/books/{book_id}"),
            _curl(token, f"{api}/ml/predictions", f'{{"books": [{{"book_id": "{book_id}"}}]}}'),
            "",
            "docker compose ps, docker compose logs, make down-docker"
            if make_target_suffix
            else "make status, make logs, make crawl SOURCE=demo, make down",
        )
    )


def _curl(token: str, url: str, body: str | None = None) -> str:
    data = f" -H 'Content-Type: application/json' -d '{body}'" if body else ""
    return f"""  curl -s -H "Authorization: Bearer {token}"{data} '{url}'"""
