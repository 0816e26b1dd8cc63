"""The suite through the gateway: crawls, search, predictions, status, metrics and backups."""

import json
import os
import secrets
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_contracts.status import SERVICES
from bookwheel_local.local_suite import LocalSuite
from bookwheel_local.progress import ProgressLine
from bookwheel_local.settings import EngineSet, LocalSettings
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.records import connect_database
from bookwheel_testing.consistency import check_consistent
from bookwheel_testing.lakes import lake_rows
from bookwheel_testing.servers import wait_until
from bookwheel_testing.suite_under_test import (
    SuiteUnderTest,
    another_shop,
    clean_title,
    expected_shop_books,
    free_port_base,
)
from prometheus_client.parser import text_string_to_metric_families

_WITHOUT_API = ("trainer", "scraper", "processor_worker", "processor_beat", "gateway_metrics")


def accounted(run: dict[str, Any]) -> int:
    counts = run["counts"]
    return sum(counts[verdict] for verdict in ("added", "modified", "unchanged", "duplicate", "quarantined"))


def test_every_page_of_the_shop_is_a_book_with_the_data_of_its_page(suite: SuiteUnderTest) -> None:
    run = suite.crawl("demo")
    assert run["state"] == "complete"
    assert run["counts"]["scraped"] == accounted(run)
    facts = {fact["upc"]: fact for fact in expected_shop_books(suite.shop_url)}
    assert len(facts) == run["counts"]["scraped"]
    catalog_books = suite.books_where("source:demo")
    books = {book["id"]: book for book in catalog_books}
    assert len(books) == len(catalog_books)
    for upc, fact in facts.items():
        book = books[f"demo:{upc}"]
        assert book["title"] == clean_title(fact["title"])
        assert book["price"] == {"amount": fact["price"], "currency": "GBP"}
        assert book["stock"] == fact["stock"]
        assert book["category"] == fact["category"]
        assert book["rating"] == fact["rating"]


def test_crawling_an_unchanged_shop_changes_nothing_and_a_new_day_changes_what_the_shop_changed(
    suite: SuiteUnderTest,
) -> None:
    suite.crawl("demo")
    again = suite.crawl("demo")["counts"]
    assert again["unchanged"] == again["scraped"] > 0
    assert again["added"] == again["modified"] == again["quarantined"] == 0

    before = {fact["upc"]: fact for fact in expected_shop_books(suite.shop_url)}
    day = httpx.get(f"{suite.shop_url}/_shop/day").json()["day"]
    httpx.put(f"{suite.shop_url}/_shop/day", json={"day": day + 1}).raise_for_status()
    after = {fact["upc"]: fact for fact in expected_shop_books(suite.shop_url)}
    changed = {upc for upc in before.keys() & after.keys() if before[upc] != after[upc]}
    counts = suite.crawl("demo")["counts"]
    assert counts["added"] == len(after.keys() - before.keys())
    assert counts["modified"] == len(changed) > 0
    upc = min(changed)
    history = suite.get(f"/api/v1/books/demo:{upc}/history")
    assert history["observations"][0]["price"]["amount"] == after[upc]["price"]
    assert history["observations"][0]["stock"] == after[upc]["stock"]


def day_of(suite: SuiteUnderTest) -> int:
    return int(httpx.get(f"{suite.shop_url}/_shop/day").json()["day"])


def set_day(suite: SuiteUnderTest, day: int) -> set[str]:
    """Sets the day of the shop. Returns the UPCs of its books on that day."""
    httpx.put(f"{suite.shop_url}/_shop/day", json={"day": day}).raise_for_status()
    return {fact["upc"] for fact in expected_shop_books(suite.shop_url)}


def test_a_vanished_book_is_removed_after_two_runs_and_can_be_restored(suite: SuiteUnderTest) -> None:
    day = day_of(suite)
    before = set_day(suite, day)
    suite.crawl("demo")
    vanished = before - set_day(suite, day + 1)
    assert vanished
    book_id = f"demo:{min(vanished)}"
    first = suite.crawl("demo")
    assert (first["state"], first["removed"]) == ("complete", 0)
    assert first["missed"] >= len(vanished)
    title = suite.get(f"/api/v1/books/{book_id}")["title"]
    second = suite.crawl("demo")
    assert second["removed"] >= len(vanished)
    response = suite.request("GET", f"/api/v1/books/{book_id}")
    assert (response.status_code, response.json()["code"]) == (410, "gone")
    assert suite.get(f"/api/v1/books/{book_id}/history")["changes"][0]["kind"] == "removed"
    hits = suite.get("/api/v1/books", params={"q": f'"{title}"', "filter": "source:demo"})["items"]
    assert book_id not in [book["id"] for book in hits]
    set_day(suite, day)
    suite.crawl("demo")
    assert suite.get(f"/api/v1/books/{book_id}/history")["changes"][0]["kind"] == "restored"
    assert suite.get(f"/api/v1/books/{book_id}")["title"] == title


def test_a_new_layout_of_the_shop_decreases_the_quality_and_the_run_is_held(suite: SuiteUnderTest) -> None:
    suite.crawl("demo")
    book_id = f"demo:{expected_shop_books(suite.shop_url)[0]['upc']}"
    before = suite.get(f"/api/v1/books/{book_id}")
    layout = {"rate": 1, "kinds": ["layout"]}
    try:
        httpx.put(f"{suite.shop_url}/_shop/faults", json=layout).raise_for_status()
        run = suite.crawl("demo")
    finally:
        httpx.put(f"{suite.shop_url}/_shop/faults", json={}).raise_for_status()
    assert (run["state"], run["searchable"]) == ("held", False)
    assert run["counts"]["staged"] > 0
    assert run["counts"]["scraped"] == accounted(run) + run["counts"]["staged"]
    assert run["id"] in [held["id"] for held in suite.get("/api/v1/crawls", params={"state": "held"})["items"]]
    [report] = suite.get("/api/v1/quality/demo", params={"run": run["id"]})["items"]
    price = next(field for field in report["fields"] if field["field"] == "price")
    assert (report["fell"], price["fell"], price["fill_rate"], price["earlier"]) == (True, True, 0.0, 1.0)
    now = suite.get(f"/api/v1/books/{book_id}")
    assert (now["price"], now["revision"]) == (before["price"], before["revision"]), "the catalog is unchanged"
    suite.post(f"/api/v1/crawls/{run['id']}/discard", {}, 202)
    wait_until(
        lambda: suite.get(f"/api/v1/crawls/{run['id']}")["state"] == "cancelled", seconds=120, what="the run discarded"
    )
    discarded = suite.get(f"/api/v1/crawls/{run['id']}")
    assert discarded["counts"]["scraped"] == accounted(discarded)
    discarded_items = suite.get("/api/v1/quarantine", params={"run": run["id"], "code": "run_discarded", "limit": "1"})
    assert discarded_items["total"] == run["counts"]["staged"]
    assert suite.crawl("demo")["counts"]["modified"] == 0


@pytest.mark.parametrize(("source", "path"), [("toscrape", ""), ("schema_org", "schema/")])
def test_another_shop_is_crawled_from_a_start_url(
    suite: SuiteUnderTest, tmp_path: Path, source: str, path: str
) -> None:
    with another_shop(tmp_path, books=60, seed=secrets.randbelow(10**6) + 10) as url:
        output = suite.run_local_command("crawl", "--source", source, "--start-url", url + path)
        facts = expected_shop_books(url)
    assert "complete" in output
    titles = [book["title"] for book in suite.books_where(f"source:{source}")]
    for fact in facts:
        assert clean_title(fact["title"]) in titles
    facet = suite.get("/api/v1/books", params={"facet": "source", "limit": "1"})["facets"]["source"]
    assert {"demo", source} <= {entry["value"] for entry in facet}


def test_one_trace_id_is_in_every_services_log(suite: SuiteUnderTest, tmp_path: Path) -> None:
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    with another_shop(tmp_path, books=20, seed=secrets.randbelow(10**6) + 10) as url:
        run_id = suite.start_crawl("toscrape", url, headers=headers)
        assert suite.wait_for_crawl(run_id)["state"] == "complete"
        title = clean_title(expected_shop_books(url)[0]["title"])
    books = suite.get("/api/v1/books", params={"q": f'"{title}"'}, headers=headers)["items"]
    assert title in [book["title"] for book in books]
    body = {"books": [{"book_id": books[0]["id"]}]}
    prediction = suite.post("/api/v1/ml/predictions", body, headers=headers)["predictions"][0]
    assert prediction["error"] is None
    assert 0 <= prediction["low"] <= prediction["rating"] <= prediction["high"] <= 5

    suite.get(
        "/api/v1/auth/me", headers=headers
    )  # accounts, too: the gateway has cached the earlier check of the token

    def services() -> set[str]:
        lines = (
            line
            for log in suite.state.joinpath("logs").iterdir()
            for line in log.read_text(errors="replace").splitlines()
            if trace_id in line
        )
        return {json.loads(line)["service"] for line in lines if line.startswith("{")}

    expected_services = {"gateway", "accounts", "catalog-api", "scraper", "processor", "ml-serving"}
    wait_until(
        lambda: expected_services <= services(), seconds=60, what=f"the trace in all logs, found in {services()}"
    )


def test_predictions_are_stored_in_the_records(suite: SuiteUnderTest) -> None:
    book_id = suite.get("/api/v1/books", params={"limit": "1"})["items"][0]["id"]
    prediction = suite.post("/api/v1/ml/predictions", {"books": [{"book_id": book_id}]})["predictions"][0]
    query = "SELECT rating FROM prediction WHERE prediction_id = :prediction"

    def stored() -> list[tuple[float]]:
        return suite.rows(query, prediction=prediction["prediction_id"])

    wait_until(lambda: bool(stored()), seconds=60, what="the prediction stored")
    assert stored()[0][0] == pytest.approx(prediction["rating"])


def test_the_first_model_beats_the_baselines_and_is_close_to_the_best_possible_error(suite: SuiteUnderTest) -> None:
    models = suite.get("/api/v1/ml/models")["items"]
    champion = next(model for model in models if "champion" in model["aliases"])
    report = suite.get(f"/api/v1/ml/models/{champion['version']}")["report"]
    reachable = httpx.get(f"{suite.shop_url}/_shop/law").json()["best_reachable_rmse"]
    assert report["model"]["rmse"] <= 1.15 * reachable
    assert report["model"]["rmse"] < 0.9 * report["baselines"]["category_mean"]["rmse"]


def test_all_other_paths_need_a_token(suite: SuiteUnderTest) -> None:
    public = {"/api/v1/auth/register", "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/oauth/token"}
    document = httpx.get(suite.url + "/openapi.json").json()
    checked = 0
    for path, operations in document["paths"].items():
        if not path.startswith("/api/v1") or path in public or path.endswith(("/oauth/token", "/auth/logout")):
            continue
        for method in operations.keys() & {"get", "post", "put", "delete", "patch"}:
            response = httpx.request(method, suite.url + path.replace("{", "").replace("}", ""))
            assert response.status_code == 401, f"{method} {path} answered {response.status_code}"
            assert response.headers["content-type"] == "application/problem+json"
            checked += 1
    assert checked > 20


def test_the_suite_describes_itself_without_a_token(suite: SuiteUnderTest) -> None:
    for path, text in (("/", "Bookwheel"), ("/docs", "swagger-ui"), ("/livez", "alive"), ("/readyz", "ready")):
        response = httpx.get(suite.url + path)
        assert response.status_code == 200, path
        assert text in response.text, path


def test_the_status_is_ok_with_every_program(suite: SuiteUnderTest) -> None:
    status: dict[str, Any] = {}

    def is_ok() -> bool:
        status.update(suite.get("/api/v1/status"))
        return status["status"] == "ok" and bool(status["models"])  # the next heartbeat has the new model

    wait_until(is_ok, seconds=180, what="the status ok")
    assert {service["name"]: service["ready"] for service in status["services"]} == dict.fromkeys(SERVICES, 1)
    assert status["crawls"]
    assert status["items"]["added"] >= suite.books
    output = suite.run_local_command("status")
    for program in ("gateway", "redis", "demo-shop", *SERVICES):
        assert program in output
    for line in ("status: ok", "backlog: ", "lag: search ", "models: bookwheel-rating "):
        assert line in output


def test_every_program_has_metrics(suite: SuiteUnderTest) -> None:
    suite.crawl("demo")  # a restarted scraper has no counts of earlier crawls
    suite.get("/api/v1/books")
    ports, metric_names = suite.layout.ports, {}
    for name in ("accounts", "catalog_api", "ml_serving", *_WITHOUT_API):
        response = httpx.get(f"http://127.0.0.1:{getattr(ports, name)}/metrics", timeout=30)
        families = list(text_string_to_metric_families(response.text))
        assert families, name
        metric_names[name] = {sample.name for family in families for sample in family.samples}
    assert "bookwheel_http_requests_total" in metric_names["accounts"] & metric_names["catalog_api"]
    assert "bookwheel_tasks_total" in metric_names["processor_worker"]
    assert {"bookwheel_items", "bookwheel_stream_lag_entries"} <= metric_names["processor_beat"]
    assert "bookwheel_crawled_pages_total" in metric_names["scraper"]
    assert "bookwheel_gateway_connections" in metric_names["gateway_metrics"]
    for path in ("/metrics", "/api/v1/metrics"):
        assert suite.request("GET", path).status_code == 404


def test_a_killed_replica_is_replaced_in_the_status(suite: SuiteUnderTest) -> None:
    def scraper() -> dict[str, Any]:
        services = suite.get("/api/v1/status")["services"]
        service: dict[str, Any] = next(service for service in services if service["name"] == "scraper")
        return service

    wait_until(lambda: scraper()["ready"] == 1, seconds=120, what="a scraper that is ready")
    [before] = scraper()["replicas"]
    os.kill(suite.supervisor.states()["scraper"].pid, signal.SIGKILL)

    def is_another() -> bool:
        replicas = scraper()["replicas"]
        return bool(replicas) and replicas[0]["ready"] and replicas[0]["started_at"] != before["started_at"]

    wait_until(is_another, seconds=180, what="another scraper")


def test_a_backup_during_a_crawl_is_complete_and_can_be_restored(suite: SuiteUnderTest, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    key = suite.post("/api/v1/auth/keys", {"name": "kept", "scopes": ["catalog:read", "ml:predict"]}, 201)["key"]
    run_id = crawl_slowly(suite, meanwhile=lambda: suite.run_local_command("backup", "--to", str(backup)))
    state, base = tmp_path / "restored", free_port_base()
    restored = SuiteUnderTest(state, port_base=base, books=suite.books, settings=suite.settings, engines=suite.engines)
    restored.run_local_command("restore", "--from", str(backup))
    with restored_stores(restored):
        check_records_and_lake(restored, suite, run_id)
    if suite.engines == EngineSet.EMBEDDED:  # the services do not depend on the engines
        try:
            restored.up()
            check_services(restored, suite, key)
        finally:
            restored.down()


def restored_stores(restored: SuiteUnderTest) -> AbstractContextManager[None]:
    settings = LocalSettings(state_dir=restored.state, port_base=restored.port_base)
    return LocalSuite(settings).running_stores(ProgressLine(sys.stderr))


def check_records_and_lake(restored: SuiteUnderTest, suite: SuiteUnderTest, run_id: str) -> None:
    records = connect_database(restored.program_environment["BOOKWHEEL_DATABASE_URL"])
    check_consistent(records)
    records.dispose()
    feed = "SELECT sequence, book_number, revision, kind, content FROM change WHERE sequence <= :head ORDER BY 1"
    [(head,)] = restored.rows("SELECT max(sequence) FROM change")
    assert restored.rows(feed, head=head) == suite.rows(feed, head=head), "the feed up to the backup"
    users = "SELECT email, password_hash, scopes FROM account ORDER BY 1"
    assert restored.rows(users) == suite.rows(users)
    run = "SELECT finished_state, scraped FROM crawl_run WHERE run_id = :run"
    processed = "SELECT item_number FROM processed_item JOIN crawl_run ON run_number = number WHERE run_id = :run"
    numbers = {number for (number,) in restored.rows(processed, run=run_id)}
    assert restored.rows(run, run=run_id) == [("partial", len(numbers))]
    assert 0 < len(numbers) < len(suite.rows(processed, run=run_id)), "the backup is from the middle of the crawl"
    lake = Lake(LakeAddress((restored.state / "data" / "lake").as_uri()))
    received = {row["item_number"] for row in lake_rows(lake, "bronze/entries") if row["run_id"] == run_id}
    assert numbers <= received, "the lake has every processed item"
    restored.disconnect()


def check_services(restored: SuiteUnderTest, suite: SuiteUnderTest, key: str) -> None:
    restored.run_local_command("run", "bookwheel-processor", "compare")
    [(books,)] = restored.rows("SELECT count(*) FROM book WHERE removed_at IS NULL")
    assert restored.get("/api/v1/books", params={"limit": "1"})["total"]["value"] == books
    current_books = "SELECT book_id, revision FROM book WHERE removed_at IS NULL"
    book_id, _ = min(
        {*restored.rows(current_books)} & {*suite.rows(current_books)}
    )  # only the original suite has continued the crawl
    for token in (suite.token(), key):
        options: dict[str, Any] = {"json": {"books": [{"book_id": book_id}]}}
        options["headers"] = {"Authorization": f"Bearer {token}"}
        before, after = (
            httpx.post(f"{queried_suite.url}/api/v1/ml/predictions", timeout=30, **options).json()
            for queried_suite in (suite, restored)
        )
        assert after["model"] == before["model"]
        assert after["predictions"][0]["rating"] == before["predictions"][0]["rating"] is not None


def crawl_slowly(suite: SuiteUnderTest, *, meanwhile: Callable[[], object]) -> str:
    """Crawls the shop slowly. Calls `meanwhile` after the first items."""
    try:
        slow = {"rate": 1, "kinds": ["slow"], "slow_seconds": 0.2}
        httpx.put(f"{suite.shop_url}/_shop/faults", json=slow).raise_for_status()
        run_id = suite.start_crawl("demo")
        wait_until(
            lambda: accounted(suite.get(f"/api/v1/crawls/{run_id}")) > 0, seconds=120, what="the first items ingested"
        )
        meanwhile()
    finally:
        httpx.put(f"{suite.shop_url}/_shop/faults", json={}).raise_for_status()
    suite.wait_for_crawl(run_id)
    return run_id
