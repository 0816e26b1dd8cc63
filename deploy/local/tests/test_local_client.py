"""The client, crawls and training against a real HTTP server that answers as the gateway does."""

import io
import json
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from bookwheel_contracts.crawls import CrawlCounts, CrawlRun, RunState
from bookwheel_local import crawling, first_steps
from bookwheel_local.client import SuiteClient
from bookwheel_local.crawling import crawl_summary, follow_crawl, request_crawl
from bookwheel_local.errors import CrawlStalledError, LocalError, NotRunningError, RequestFailedError
from bookwheel_local.first_steps import has_champion, train, wait_for_heartbeats, wait_for_index, wait_for_model
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
    """Gives the scripted answers in turn; `asked` holds method, path, token and body of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: deque[Answer] = deque()
        self.asked: list[tuple[str, str, str, Any]] = []
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
            gateway.asked.append((self.command, self.path, token, body))
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


def test_one_login_serves_many_requests(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(200, 1), (200, 2)])
    assert (client.get("/a", limit=5), client.get("/b")) == (1, 2)
    assert gateway.logins == 1
    assert gateway.asked[0][:3] == ("GET", "/a?limit=5", "token-1")


def test_an_expired_token_is_replaced_once(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(401, {}), (200, "1")])
    assert client.get("/a") == 1
    assert [token for _, _, token, _ in gateway.asked] == ["token-1", "token-2"]


def test_a_user_who_is_refused_is_told_why(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.append((403, {"title": "Forbidden", "detail": "needs crawl:write", "trace_id": "abc"}))
    with pytest.raises(RequestFailedError, match=r"answered 403: Forbidden: needs crawl:write \(trace abc\)"):
        client.post("/a", {})


@pytest.mark.parametrize("body", ["<html>bad gateway</html>", "[]", "null", ""])
def test_an_answer_that_is_no_problem_document_is_shown_as_it_is(
    gateway: Gateway, client: SuiteClient, body: str
) -> None:
    gateway.answers.append((502, body))
    with pytest.raises(RequestFailedError, match="answered 502"):
        client.get("/a")


def test_a_rate_limit_is_waited_for(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(429, {}), (429, {}), (200, 7)])
    assert client.get("/a") == 7


def test_no_suite_at_the_address_says_how_to_start_one() -> None:
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
    assert gateway.asked[0][3] == {"source": "demo", "start_url": "http://shop/"}


def test_a_failed_crawl_is_not_waited_for(gateway: Gateway, client: SuiteClient) -> None:
    failed = QUEUED.model_copy(update={"state": RunState.FAILED, "reason": "no such host"})
    assert follow_crawl(client, failed, progress()) is failed
    assert "failed (no such host)" in crawl_summary(failed)


def test_a_crawl_without_progress_ends_with_what_to_look_at(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawling, "_STALLED_SECONDS", 0.0)
    running = QUEUED.model_copy(update={"state": RunState.RUNNING, "pages": 30})
    gateway.answers.append((200, as_json(running)))
    with pytest.raises(CrawlStalledError, match="make logs SERVICE=scraper"):
        follow_crawl(client, running, progress(), sleep=lambda _: None)


def of_others(*pages: int) -> Answer:
    """The list of running crawls, one with each of these numbers of pages."""
    running = {"source": "other", "state": RunState.RUNNING}
    runs = [QUEUED.model_copy(update={"id": f"other-{at}", "pages": n, **running}) for at, n in enumerate(pages)]
    return 200, {"items": [as_json(run) for run in runs]}


def test_a_queued_crawl_waits_for_as_long_as_others_get_on(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawling, "_STALLED_SECONDS", 0.0)
    failed = QUEUED.model_copy(update={"state": RunState.FAILED})
    for pages in (1, 2, 3):
        gateway.answers.extend([(200, as_json(QUEUED)), of_others(pages, 7)])
    gateway.answers.append((200, as_json(failed)))
    shown = Terminal()
    assert follow_crawl(client, QUEUED, ProgressLine(shown), sleep=lambda _: None) == failed
    assert "crawl of demo: queued after other, other" in shown.getvalue()
    assert [path for _, path, _, _ in gateway.asked[:2]] == [
        "/api/v1/crawls/run-1",
        "/api/v1/crawls?state=running&limit=100",
    ]


@pytest.mark.parametrize("pages", [(), (5,)])
def test_a_queued_crawl_has_stalled_where_nothing_runs_or_gets_on(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch, pages: tuple[int, ...]
) -> None:
    monkeypatch.setattr(crawling, "_STALLED_SECONDS", 0.0)
    for _ in range(2):
        gateway.answers.extend([(200, as_json(QUEUED)), of_others(*pages)])
    with pytest.raises(CrawlStalledError, match="crawl run-1 made no progress"):
        follow_crawl(client, QUEUED, progress(), sleep=lambda _: None)


def test_the_accounting_shows_every_count_under_its_name() -> None:
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


def test_a_training_run_is_followed_to_its_end(gateway: Gateway, client: SuiteClient) -> None:
    states = ["queued", "running", "complete"]
    gateway.answers.extend((200, {"id": "t1", "state": state}) for state in states)
    assert train(client, progress(), sleep=lambda _: None)["state"] == "complete"


def test_a_failed_training_run_says_its_reason(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.append((202, {"id": "t1", "state": "failed", "reason": "TooFewRatings: 3"}))
    with pytest.raises(LocalError, match="TooFewRatings: 3"):
        train(client, progress())


def test_a_model_that_is_not_served_yet_is_waited_for(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(503, {}), (200, {"predictions": []})])
    wait_for_model(client, progress(), sleep=lambda _: None)
    assert not gateway.answers


def test_a_model_that_is_never_served_is_an_error(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_steps, "_MODEL_SWAP_SECONDS", 0.0)
    gateway.answers.append((503, {}))
    with pytest.raises(LocalError, match="make logs SERVICE=ml-serving"):
        wait_for_model(client, progress(), sleep=lambda _: None)


def test_an_index_that_is_still_empty_is_waited_for(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend([(200, {"items": []}), (200, {"items": [{"id": "demo:1"}]})])
    wait_for_index(client, progress(), sleep=lambda _: None)
    assert not gateway.answers


def test_an_index_that_stays_empty_is_an_error(
    gateway: Gateway, client: SuiteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_steps, "_INDEX_SECONDS", 0.0)
    gateway.answers.append((200, {"items": []}))
    with pytest.raises(LocalError, match="make logs SERVICE=processor-worker"):
        wait_for_index(client, progress(), sleep=lambda _: None)


@pytest.mark.parametrize(("aliases", "there"), [(["champion"], True), (["challenger"], False), ([], False)])
def test_a_model_to_serve_is_the_champion(
    gateway: Gateway, client: SuiteClient, aliases: list[str], there: bool
) -> None:
    gateway.answers.append((200, {"items": [{"aliases": aliases}]}))
    assert has_champion(client) is there


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_that_is_rewritten() -> None:
    screen = Terminal()
    shown = ProgressLine(screen)
    shown.update("one")
    shown.update("two")
    shown.finish("end")
    assert screen.getvalue() == "\r\033[K  one\r\033[K  two\r\033[Kend\n"


def test_a_file_gets_a_line_now_and_then_and_each_end() -> None:
    file = io.StringIO()
    shown = ProgressLine(file)
    for number in range(1000):
        shown.update(f"{number} pages")
    shown.finish("end")
    assert file.getvalue() == "  0 pages\nend\n"


def test_a_program_without_a_heartbeat_yet_is_waited_for(gateway: Gateway, client: SuiteClient) -> None:
    gateway.answers.extend((200, {"services": [{"name": "trainer", "ready": ready}]}) for ready in (0, 1))
    wait_for_heartbeats(client, progress(), sleep=lambda _: None)
    assert not gateway.answers
