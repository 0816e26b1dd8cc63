"""The service runs each request once, even if a scraper or a crawl process dies."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts import CrawlRequest, RunState
from bookwheel_contracts.redis_keys import CRAWL_STREAM, SOURCES_KEY, run_key
from bookwheel_runtime.healthcheck import fetch_health, get_health_error
from bookwheel_scraper.crawl.run_events import RunMessages
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts
from bookwheel_scraper.service.scheduler import Scheduler
from bookwheel_scraper.sources.declarations import Source
from bookwheel_stores.heartbeats import list_replicas
from bookwheel_testing.crawl_runner import FULL_SPEED, Crawls, crawl_request, read_messages, request_crawl
from bookwheel_testing.servers import Server, free_port, wait_until
from bookwheel_testing.shop_site import Site
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from redis.exceptions import RedisError

MOMENT = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
IMPATIENT = {"BOOKWHEEL_SCRAPER_CLAIM_SECONDS": "1.5"}
HAND_OVER = {**IMPATIENT, "BOOKWHEEL_SCRAPER_WHEN_STOPPED": "hand-over"}


@pytest.fixture
def client(redis_url: str) -> Iterator["Redis"]:
    redis = Redis.from_url(redis_url)
    yield redis
    redis.close()


@pytest.fixture
def services() -> list[Server]:
    """The services a test has started."""
    return []


def ended(crawls: Crawls, runs: int = 1) -> bool:
    return len(read_messages(crawls.redis_url).finished) >= runs


def serve_until_published(crawls: Crawls, services: list[Server], *, count: int = 1, **settings: str) -> Server:
    """Starts a service and waits until the stream has `count` items."""
    services.append(crawls.serve(**settings))
    wait_until(lambda: len(read_messages(crawls.redis_url).items) >= count, seconds=60, what=f"{count} items")
    return services[-1]


def test_a_request_is_acknowledged_after_its_run_has_ended(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(30)
    site.delay = 0.1
    requests = [crawl_request("shop") for _ in range(3)]
    client.xadd(CRAWL_STREAM, {b"body": b"no request"})
    client.xadd(CRAWL_STREAM, {b"other": b"field"})
    for request in requests:
        request_crawl(crawls.redis_url, request)
    services.append(crawls.serve(**IMPATIENT, BOOKWHEEL_SCRAPER_CRAWLS="2"))
    # The crawls take longer than the claim time: a running crawl extends its claim.
    wait_until(lambda: ended(crawls, 3), seconds=60, what="three runs")
    wait_until(lambda: client.xlen(CRAWL_STREAM) == 0, seconds=60, what="acknowledgement")
    messages = read_messages(crawls.redis_url)
    assert sorted(end.run_id for end in messages.finished) == sorted(request.run_id for request in requests)
    assert [end.state for end in messages.finished] == [RunState.COMPLETE] * 3
    assert len(messages.started) == 3
    assert b"shop" in client.hkeys(SOURCES_KEY)


def test_another_scraper_resumes_the_run_of_a_killed_scraper(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(120)
    site.delay = 0.02
    request = crawl_request("shop")
    request_crawl(crawls.redis_url, request)
    for count in (20, 60):
        serve_until_published(crawls, services, count=count, **IMPATIENT).kill()
    assert not ended(crawls)
    services.append(crawls.serve(**IMPATIENT))
    wait_until(lambda: ended(crawls), seconds=60, what="the end of the run")
    messages = read_messages(crawls.redis_url)
    assert {started.run_id for started in messages.started} == {request.run_id}
    assert len(messages.started) == 3
    assert [item.item_number for item in messages.items] == list(range(1, len(messages.items) + 1))
    assert messages.end.scraped == len(messages.items) > 120
    assert set(messages.keys) == {f"u{number}" for number in range(1, 121)}
    wait_until(lambda: client.xlen(CRAWL_STREAM) == 0, seconds=60, what="acknowledgement")


def test_a_service_restarts_a_crawl_process_that_died(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(40)
    site.delay = 0.05
    request = crawl_request("shop")
    request_crawl(crawls.redis_url, request)
    service = serve_until_published(crawls, services)
    (child,) = children(service.process.pid)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: ended(crawls), seconds=60, what="the end of the run")
    messages = read_messages(crawls.redis_url)
    assert len(messages.started) == 2
    assert messages.end.scraped == len(messages.items)
    assert messages.end.state is RunState.COMPLETE


def test_a_stopped_service_ends_its_runs_as_partial(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(400)
    site.delay = 0.05
    request_crawl(crawls.redis_url, crawl_request("shop"))
    service = serve_until_published(crawls, services)
    service.process.terminate()
    assert service.process.wait(30) == 0
    messages = read_messages(crawls.redis_url)
    assert (messages.end.state, messages.end.reason) == (RunState.PARTIAL, "the scraper was stopped")
    assert messages.end.scraped == len(messages.items)
    assert client.xlen(CRAWL_STREAM) == 0


def test_a_stopped_service_can_hand_its_runs_over(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(200)
    site.delay = 0.02
    request_crawl(crawls.redis_url, crawl_request("shop"))
    for count in (20, 60):
        service = serve_until_published(crawls, services, count=count, **HAND_OVER)
        service.process.terminate()
        assert service.process.wait(10) == 0
        assert not ended(crawls)
    services.append(crawls.serve(**IMPATIENT))
    wait_until(lambda: ended(crawls), seconds=60, what="the end of the run")
    messages = read_messages(crawls.redis_url)
    assert (len(messages.started), messages.end.state) == (3, RunState.COMPLETE)
    assert messages.end.scraped == len(messages.items)
    assert set(messages.keys) == {f"u{number}" for number in range(1, 201)}


def test_a_service_hands_over_within_ten_seconds_while_redis_hangs(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(400)
    site.delay = 0.05
    request_crawl(crawls.redis_url, crawl_request("shop"))
    service = serve_until_published(crawls, services, count=1, **HAND_OVER)
    (child,) = children(service.process.pid)
    client.execute_command("CLIENT", "PAUSE", 12_000, "ALL")  # type: ignore[no-untyped-call]
    try:
        service.process.terminate()
        assert service.process.wait(10) == 0
        assert not Path(f"/proc/{child}").exists()
    finally:
        wait_until(lambda: _is_reachable(crawls.redis_url), seconds=30, what="Redis again")
    assert not ended(crawls)
    assert client.xlen(CRAWL_STREAM) == 1


def _is_reachable(url: str) -> bool:
    redis = Redis.from_url(url, socket_timeout=1)
    try:
        return bool(redis.ping())
    except RedisError:
        return False
    finally:
        redis.close()


def test_finished_and_abandoned_runs_are_not_crawled_again(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(3)
    finished, exhausted = crawl_request("shop"), crawl_request("shop")
    run_attempt = RunAttempt(client, finished.run_id)
    messages = RunMessages(finished, finished.traceparent)
    counts = run_attempt.start(messages.build_start(site.url))
    run_attempt.finish(messages.build_abort(counts, "earlier"))
    last_attempt = RunAttempt(client, exhausted.run_id)
    for _ in range(3):
        last_attempt.start(RunMessages(exhausted, exhausted.traceparent).build_start(site.url))
    last_attempt.publish([], RunCounts(published=7))
    for request in (finished, exhausted):
        request_crawl(crawls.redis_url, request)
    services.append(crawls.serve(BOOKWHEEL_SCRAPER_ATTEMPTS="3"))
    wait_until(lambda: client.xlen(CRAWL_STREAM) == 0, seconds=60, what="acknowledgement")
    ends = {end.run_id: end for end in read_messages(crawls.redis_url).finished}
    assert ends[finished.run_id].reason == "earlier"
    abandoned = ends[exhausted.run_id]
    assert (abandoned.state, abandoned.scraped) == (RunState.PARTIAL, 7)
    assert abandoned.reason == "the crawl process died 3 times"
    assert not site.hits


def test_several_schedulers_submit_one_request_per_due_time(client: "Redis") -> None:
    source = Source(name="shop", title="Shop", spider="toscrape", start_urls=("http://x/",), schedule="every 1h")
    unscheduled = Source(name="idle", title="Idle", spider="toscrape", start_urls=("http://x/",))
    schedulers = [Scheduler(client, {"shop": source, "idle": unscheduled}) for _ in range(4)]

    def submit_all(now: datetime) -> int:
        submitted: list[str] = []
        threads = [
            threading.Thread(target=lambda scheduler=scheduler: submitted.extend(scheduler.submit_due(now)))
            for scheduler in schedulers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(submitted)

    assert submit_all(MOMENT) == 0  # a new source waits for its next due time
    assert submit_all(MOMENT + timedelta(minutes=59)) == 0
    assert submit_all(MOMENT + timedelta(minutes=60)) == 1
    assert submit_all(MOMENT + timedelta(minutes=61)) == 0
    assert submit_all(MOMENT + timedelta(minutes=121)) == 0  # the previous request is still pending
    entries: Any = client.xrange(CRAWL_STREAM)
    ((entry_id, fields),) = entries
    request = CrawlRequest.model_validate_json(fields[b"body"])
    assert (request.source, request.requested_by) == ("shop", "schedule")
    client.xdel(CRAWL_STREAM, entry_id)
    assert submit_all(MOMENT + timedelta(days=3)) == 1  # one request for all missed due times
    assert submit_all(MOMENT + timedelta(days=3, minutes=1)) == 0


def test_a_due_source_is_crawled(crawls: Crawls, site: Site, services: list[Server]) -> None:
    site.fill(2)
    crawls.declare([site.url], keys='schedule = "every 2s"', tables=FULL_SPEED)
    services.append(crawls.serve())
    wait_until(lambda: ended(crawls), seconds=60, what="a scheduled run")
    services[-1].process.terminate()
    assert read_messages(crawls.redis_url).finished[0].scraped == 2


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_running_scraper_is_ready_and_exports_the_counts_of_its_crawls(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(12)
    port = free_port()
    assert "does not answer" in str(get_health_error(port, "/readyz"))
    request_crawl(crawls.redis_url, crawl_request("shop"))
    services.append(crawls.serve(BOOKWHEEL_METRICS_PORT=str(port)))
    wait_until(lambda: get_health_error(port, "/readyz") is None, seconds=30, what="a scraper that is ready")
    wait_until(lambda: client.xlen(CRAWL_STREAM) == 0, seconds=60, what="the run's end")
    page = fetch_health(port, "/metrics")[1]
    assert list(text_string_to_metric_families(page))
    assert 'bookwheel_published_items_total{source="shop"} 12.0' in page
    assert 'bookwheel_crawl_processes_total{outcome="ended",source="shop"} 1.0' in page
    expected = {("scraper", True, socket.gethostname())}
    wait_until(
        lambda: {(replica.service, replica.ready, replica.instance) for replica in list_replicas(client)} == expected,
        seconds=30,
        what="a heartbeat of a ready scraper",
    )
    services[-1].stop()
    assert list_replicas(client) == []


def test_a_scraper_without_redis_is_live_but_not_ready(crawls: Crawls, services: list[Server]) -> None:
    port = free_port()
    unavailable = {"BOOKWHEEL_REDIS_URL": "redis://127.0.0.1:9/0", "BOOKWHEEL_METRICS_PORT": str(port)}
    services.append(crawls.serve(**unavailable))
    wait_until(lambda: get_health_error(port, "/livez") is None, seconds=30, what="a scraper that lives")
    wait_until(lambda: "Redis is unavailable" in str(get_health_error(port, "/readyz")), seconds=10, what="the reason")


def test_a_cancelled_crawl_stops_and_ends_as_cancelled_with_its_items(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(400)
    site.delay = 0.1
    request = crawl_request("shop")
    request_crawl(crawls.redis_url, request)
    serve_until_published(crawls, services)
    client.hset(run_key(request.run_id), "cancelled", "1")
    wait_until(lambda: ended(crawls), seconds=60, what="the end of the run")
    messages = read_messages(crawls.redis_url)
    end = messages.end
    assert (end.state, end.reason) == (RunState.CANCELLED, "the crawl was cancelled")
    assert 0 < end.scraped == len(messages.items) < 400
    assert end.pages == end.published_pages == len(messages.pages)
    wait_until(lambda: client.xlen(CRAWL_STREAM) == 0, seconds=60, what="acknowledgement")


def test_a_request_that_was_cancelled_before_its_start_is_not_crawled(
    crawls: Crawls, site: Site, services: list[Server], client: "Redis"
) -> None:
    site.fill(5)
    request = crawl_request("shop")
    client.hset(run_key(request.run_id), "cancelled", "1")
    request_crawl(crawls.redis_url, request)
    services.append(crawls.serve(**IMPATIENT))
    wait_until(lambda: ended(crawls), seconds=60, what="the end of the run")
    assert read_messages(crawls.redis_url).end.state is RunState.CANCELLED
    assert not site.hits
