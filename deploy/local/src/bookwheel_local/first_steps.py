"""Fills a new suite (a first crawl, a first model) and tells its user what to do with it."""

from typing import Any

from bookwheel_contracts.crawls import CrawlRun, RunState

from bookwheel_local.client import DEMO_USER, SuiteClient
from bookwheel_local.crawling import accounting, follow, request_crawl, settled
from bookwheel_local.errors import LocalError
from bookwheel_local.progress import Progress
from bookwheel_local.training import predicted, registered, train, wait_until_served

DEMO_SOURCE = "demo"


def fill(client: SuiteClient, progress: Progress) -> None:
    """Crawls the demo shop and trains a model, each only where that has not been done yet."""
    runs = [CrawlRun.model_validate(run) for run in client.get("/api/v1/crawls", source=DEMO_SOURCE, limit=20)["items"]]
    new = not any(run.state is RunState.COMPLETE and run.searchable for run in runs)
    if new:
        unsettled = [run for run in runs if not settled(run)]
        run = follow(client, unsettled[0] if unsettled else request_crawl(client, DEMO_SOURCE, None), progress)
        progress.done(accounting(run))
        if run.state is not RunState.COMPLETE:
            raise LocalError("the crawl of the demo shop did not complete; see: make logs SERVICE=scraper")
    if not predicted(client) and (new or not registered(client)):
        trained = train(client, progress)
        progress.done(f"trained a first model: {trained['verdict']}")
    wait_until_served(client, progress)


def _curl(token: str, url: str, body: str | None = None) -> str:
    data = f" -H 'Content-Type: application/json' -d '{body}'" if body else ""
    return f"""  curl -s -H "Authorization: Bearer {token}"{data} '{url}'"""


def first_steps(client: SuiteClient, gateway_url: str, *, verb_suffix: str = "") -> str:
    """The closing words of `make up`, or of a verb like it whose companions have a suffix in common."""
    found: dict[str, Any] = client.get("/api/v1/books", sort="-rating", limit=1)
    book_id = found["items"][0]["id"]
    api = f"{gateway_url}/api/v1"
    token = f"$(make -s token{verb_suffix})"
    return "\n".join(
        (
            "",
            f"Bookwheel is ready at {gateway_url} with {found['total']['value']:,} books; its API: {gateway_url}/docs",
            f"`make -s token{verb_suffix}` prints an access token of {DEMO_USER}. Try, in this folder:",
            "",
            _curl(token, f"{api}/books?q=sea&facet=category&limit=3"),
            _curl(token, f"{api}/books/{book_id}"),
            _curl(token, f"{api}/ml/predictions", f'{{"books": [{{"book_id": "{book_id}"}}]}}'),
            "",
            "docker compose ps, docker compose logs, make down-docker"
            if verb_suffix
            else "make status, make logs, make crawl SOURCE=demo, make down",
        )
    )
