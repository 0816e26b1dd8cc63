"""The client, crawls and training, with an HTTP server that responds like the gateway."""

import io
import json
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from bookwheel_contracts import FieldFaultCount
from bookwheel_contracts.crawls import CrawlCounts, CrawlRun, PageCounts, RunState
from bookwheel_local import crawling, demo_data
from bookwheel_local.client import SuiteClient
from bookwheel_local.crawling import crawl_summary, follow_crawl, request_crawl
from bookwheel_local.demo_data import has_champion, train, wait_for_heartbeats, wait_for_index, wait_for_model
from bookwheel_local.errors import CrawlStalledError, LocalError, NotRunningError, RequestFailedError
from bookwheel_local.progress import ProgressLine
from bookwheel_testing.servers import free_port

Answer = tuple[int, Any]
QUEUED = CrawlRun(
    id="run-1",
    source="demo",
    start_url=None,
    state=RunState.QUEUED,
    reason=None,
    requested_at=None,
    started_at=None,
    finished_at=None,
    counts=CrawlCounts(),
    pages=0,
    errors=0,
    searchable=False,
)


class Gateway(ThreadingHTTPServer):
    """Responds with `answers` in this order. `requests` contains method, path, token and body of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: deque[Answer] = deque()
        self.requests: list[tuple[str, str, str, Any]] = []
        self.logins = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        gateway = cast("Gateway", self.server)
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        if self.path.endswith("/auth/login"):
            gateway.logins += 1
            status, content = cast("Answer", (200, {"access_token": f"token-{gateway.logins}"}))
        else:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            gateway.requests.append((self.command, self.path, token, body))
            status, content = gateway.answers.popleft()
        payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(payload)

    do_POST = do_GET  # noqa: N815 - the name is http.server's

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is http.server's
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[SuiteClient]:
    with SuiteClient(gateway.url, password="secret") as client:
        yield client


def progress() -> ProgressLine:
    return ProgressLine(io.StringIO())


def as_json(run: CrawlRun) -> Any:
    return run.model_dump(mode="json")


def test_a_client_logs_in_only_once(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(200, 1), (200, 2)])
    assert (client.get("/a", limit=5), client.get("/b")) == (1, 2)
    assert gateway.logins == 1
    assert gateway.requests[0][:3] == ("GET", "/a?limit=5", "token-1")


def test_an_expired_token_is_renewed(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(401, {}), (200, "1")])
    assert client.get("/a") == 1
    assert [token for _, _, token, _ in gateway.requests] == ["token-1", "token-2"]


def test_an_error_shows_the_problem_of_the_response(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.append((403, {"title": "Forbidden", "detail": "needs crawl:write", "trace_id": "abc"}))
    with pytest.raises(RequestFailedError, match=r"answered 403: Forbidden: needs crawl:write \(trace abc\)"):
        client.post("/a", {})


@pytest.mark.parametrize("body", ["<html>bad gateway</html>", "[]", "null", ""])
def test_an_error_without_a_problem_document_shows_the_status(gateway: Gateway, client: SuiteClient, body: str) -> None:
    gateway.answers.append((502, body))
    with pytest.raises(RequestFailedError, match="answered 502"):
        client.get("/a")


def test_a_rate_limited_request_is_retried(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(429, {}), (429, {}), (200, 7)])
    assert client.get("/a") == 7


def test_the_error_of_a_missing_suite_says_how_to_start_it() -> None:
    client = SuiteClient(f"http://127.0.0.1:{free_port()}", password="x")
    with client, pytest.raises(NotRunningError, match="make up"):
        client.get("/a")


def test_a_crawl_is_followed_until_its_items_are_searchable(gateway: Gateway, client: SuiteClient) -> None:
    running = QUEUED.model_copy(update={"state": RunState.RUNNING, "pages": 30})
    complete = running.model_copy(update={"state": RunState.COMPLETE, "counts": CrawlCounts(scraped=20, added=20)})
    searchable = complete.model_copy(update={"searchable": True})
    gateway.answers.extend([(202, as_json(QUEUED)), *((200, as_json(run)) for run in (running, complete, searchable))])
    requested = request_crawl(client, "demo", "http://shop/")
    assert follow_crawl(client, requested, progress(), sleep=lambda _: None) == searchable
    assert gateway.requests[0][3] == {"source": "demo", "start_url": "http://shop/"}


def test_a_failed_crawl_is_returned_at_once(gateway: Gateway, client: SuiteClient) -> None:
    failed = QUEUED.model_copy(update={"state": RunState.FAILED, "reason": "no such host"})
    assert follow_crawl(client, failed, progress()) is failed
    assert "failed (no such host)" in crawl_summary(failed)


def test_the_error_of_a_stalled_crawl_names_the_logs(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawling, "_STALLED_SECONDS", 0.0)
    running = QUEUED.model_copy(update={"state": RunState.RUNNING, "pages": 30})
    gateway.answers.append((200, as_json(running)))
    with pytest.raises(CrawlStalledError, match="make logs SERVICE=scraper"):
        follow_crawl(client, running, progress(), sleep=lambda _: None)


def running_crawls(*pages: int) -> Answer:
    """Builds the response with running crawls that have these numbers of pages."""
    running = {"source": "other", "state": RunState.RUNNING}
    runs = [
        QUEUED.model_copy(update={"id": f"other-{index}", "pages": count, **running})
        for index, count in enumerate(pages)
    ]
    return 200, {"items": [as_json(run) for run in runs]}


def test_a_queued_crawl_waits_while_other_crawls_progress(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawling, "_STALLED_SECONDS", 0.0)
    failed = QUEUED.model_copy(update={"state": RunState.FAILED})
    for pages in (1, 2, 3):
        gateway.answers.extend([(200, as_json(QUEUED)), running_crawls(pages, 7)])
    gateway.answers.append((200, as_json(failed)))
    terminal = Terminal()
    assert follow_crawl(client, QUEUED, ProgressLine(terminal), sleep=lambda _: None) == failed
    assert "crawl of demo: queued after other, other" in terminal.getvalue()
    assert [path for _, path, _, _ in gateway.requests[:2]] == [
        "/api/v1/crawls/run-1",
        "/api/v1/crawls?state=running&limit=100",
    ]


@pytest.mark.parametrize("pages", [(), (5,)])
def test_a_queued_crawl_is_stalled_if_no_other_crawl_progresses(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch, pages: tuple[int, ...]
) -> None:
    monkeypatch.setattr(crawling, "_STALLED_SECONDS", 0.0)
    for _ in range(2):
        gateway.answers.extend([(200, as_json(QUEUED)), running_crawls(*pages)])
    with pytest.raises(CrawlStalledError, match="crawl run-1 made no progress"):
        follow_crawl(client, QUEUED, progress(), sleep=lambda _: None)


def test_the_crawl_summary_has_every_count_below_its_name() -> None:
    counts = CrawlCounts(scraped=12_345, added=12_000, modified=300, unchanged=40, duplicate=5, quarantined=0)
    names, numbers = crawl_summary(QUEUED.model_copy(update={"counts": counts})).splitlines()[1:]
    assert dict(zip(names.split(), numbers.split(), strict=True)) == {
        "scraped": "12,345",
        "added": "12,000",
        "modified": "300",
        "unchanged": "40",
        "duplicate": "5",
        "quarantined": "0",
    }


def test_a_training_run_is_followed_until_it_ends(gateway: Gateway, client: SuiteClient) -> None:
    states = ["queued", "running", "complete"]
    gateway.answers.extend((200, {"id": "t1", "state": state}) for state in states)
    assert train(client, progress(), sleep=lambda _: None)["state"] == "complete"


def test_the_error_of_a_failed_training_run_has_its_reason(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.append((202, {"id": "t1", "state": "failed", "reason": "TooFewRatings: 3"}))
    with pytest.raises(LocalError, match="TooFewRatings: 3"):
        train(client, progress())


def test_up_waits_until_the_model_is_served(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(503, {}), (200, {"predictions": []})])
    wait_for_model(client, progress(), sleep=lambda _: None)
    assert not gateway.answers


def test_a_model_that_is_not_served_in_time_is_an_error(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_data, "_MODEL_SWAP_SECONDS", 0.0)
    gateway.answers.append((503, {}))
    with pytest.raises(LocalError, match="make logs SERVICE=ml-serving"):
        wait_for_model(client, progress(), sleep=lambda _: None)


def test_up_waits_until_the_index_has_books(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(200, {"items": []}), (200, {"items": [{"id": "demo:1"}]})])
    wait_for_index(client, progress(), sleep=lambda _: None)
    assert not gateway.answers


def test_an_index_that_stays_empty_is_an_error(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_data, "_INDEX_SECONDS", 0.0)
    gateway.answers.append((200, {"items": []}))
    with pytest.raises(LocalError, match="make logs SERVICE=processor-worker"):
        wait_for_index(client, progress(), sleep=lambda _: None)


@pytest.mark.parametrize(("aliases", "expected"), [(["champion"], True), (["challenger"], False), ([], False)])
def test_only_a_champion_counts_as_a_model_to_serve(
    gateway: Gateway, client: SuiteClient, aliases: list[str], expected: bool
) -> None:
    gateway.answers.append((200, {"items": [{"aliases": aliases}]}))
    assert has_champion(client) is expected


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_rewritten_line() -> None:
    terminal = Terminal()
    progress_line = ProgressLine(terminal)
    progress_line.update("one")
    progress_line.update("two")
    progress_line.finish("end")
    assert terminal.getvalue() == "\r\033[K  one\r\033[K  two\r\033[Kend\n"


def test_a_file_gets_few_progress_lines_and_every_final_line() -> None:
    file = io.StringIO()
    progress_line = ProgressLine(file)
    for number in range(1000):
        progress_line.update(f"{number} pages")
    progress_line.finish("end")
    assert file.getvalue() == "  0 pages\nend\n"


def test_up_waits_for_the_first_heartbeats(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend((200, {"services": [{"name": "trainer", "ready": ready}]}) for ready in (0, 1))
    wait_for_heartbeats(client, progress(), sleep=lambda _: None)
    assert not gateway.answers


def test_the_summary_names_outcomes_of_pages_and_unreadable_fields() -> None:
    counts = PageCounts(book=1200, list=3, unreadable=2)
    run = QUEUED.model_copy(update={"state": RunState.COMPLETE, "pages": 1205, "page_counts": counts, "faults": 7})
    faults = [FieldFaultCount(field="price", code="ambiguous", faults=7)]
    lines = crawl_summary(run, faults).splitlines()[3:]
    assert lines == [
        "  pages: 1,200 book, 3 list, 0 other, 2 unreadable, 0 failed",
        "  unreadable pages: GET /api/v1/crawls/run-1/pages?outcome=unreadable",
        "  unreadable field: price (ambiguous) 7x",
    ]
    assert crawl_summary(QUEUED).count("\n") == 2
