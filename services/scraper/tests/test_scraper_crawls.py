"""Crawls of a local site, published to a real Redis."""

import gzip
import json
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest
from bookwheel_contracts import (
    Expectations,
    PageOutcome,
    RawItem,
    RunFinished,
    RunStarted,
    RunState,
    parse_stream_message,
)
from bookwheel_contracts.redis_keys import RAW_STREAM, run_key
from bookwheel_runtime.traces import trace_id_of
from bookwheel_scraper.publishing.run_attempt import RunAttempt
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.crawl_runner import FULL_SPEED, Crawls, crawl_request, read_messages
from bookwheel_testing.servers import wait_until
from bookwheel_testing.shop_site import Exchange, Page, Site, list_page, product_page
from redis import Redis


def failing(times: int, then: bytes, *, status: int = 500, **headers: str) -> Page:
    """A page whose first requests fail."""

    def page(exchange: Exchange, hits: int) -> None:
        if hits > times:
            exchange.answer(then)
        else:
            exchange.answer(b"<html>no", status=status, **headers)

    return page


def test_a_crawl_publishes_each_book_once_between_start_and_finish(crawls: Crawls, site: Site) -> None:
    site.fill(45)
    request = crawl_request("shop")
    messages = crawls.run(request)
    (started,) = messages.started
    end = messages.end
    assert started.start_url == site.url
    assert end.start == started
    assert sorted(messages.keys) == sorted(f"u{number}" for number in range(1, 46))
    assert [item.item_number for item in messages.items] == list(range(1, 46))
    assert (end.state, end.reason, end.scraped, end.pages, end.errors) == (RunState.COMPLETE, None, 45, 48, 0)
    assert list(messages.pages) == list(range(1, 49))
    outcomes = Counter(page.outcome for page in messages.pages.values())
    assert outcomes == {PageOutcome.BOOK: 45, PageOutcome.LIST: 3}
    assert end.published_pages == 48
    everything: list[RawItem | RunStarted | RunFinished] = [started, *messages.items, end]
    assert {message.source for message in everything} == {"shop"}
    assert {message.run_id for message in everything} == {request.run_id}
    assert {trace_id_of(message.traceparent) for message in everything} == {trace_id_of(request.traceparent)}
    lines = [json.loads(line) for line in crawls.log.read_text().splitlines()]
    assert {line["trace_id"] for line in lines if "crawl" in line["event"]} == {trace_id_of(request.traceparent)}
    assert all(agent.startswith("Bookwheel/") and "+/about/bot" in agent for agent in site.user_agents)
    assert max(site.hits.values()) == 1


def test_the_start_message_has_whole_source_and_the_expectations(crawls: Crawls, site: Site) -> None:
    site.fill(2)
    expected = "[expect]\nshare = 0.3\nfill = { price = 0.9 }\n"
    crawls.declare([site.url], tables=f"{FULL_SPEED}\n{expected}")
    (whole,) = crawls.run().started
    assert whole.whole_source
    assert (whole.expect.share, whole.expect.grace, whole.expect.fill) == (0.3, None, {"price": 0.9})
    messages = crawls.run(crawl_request("shop", f"{site.url}page-1.html"), BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES="allow")
    part = messages.started[-1]
    assert (part.whole_source, part.expect.fill) == (False, {"price": 0.9})
    elsewhere = site.url.replace("127.0.0.1", "localhost")
    messages = crawls.run(crawl_request("shop", elsewhere), BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES="allow")
    assert messages.started[-1].expect == Expectations()


def test_only_pages_that_stay_broken_are_lost(crawls: Crawls, site: Site) -> None:
    site.fill(3)
    paths = [
        "500",
        "429",
        "absurd",
        "cut",
        "big",
        "gone",
        "always-503",
        "loop",
        "latin",
        "cp1252",
        "gzip",
        "image",
        "private/1",
    ]
    links = [f"/{path}" for path in paths]
    links += ["file:///etc/passwd", "http://elsewhere.invalid/book", "data:text/html,<div class=product_main>"]
    site.pages["/"] = list_page([f"/books/{number}/index.html" for number in (1, 2, 3)] + links, "/")
    site.pages["/robots.txt"] = b"User-agent: bookwheel\nDisallow: /private/\n"
    site.pages["/private/1"] = product_page("private")
    site.pages["/500"] = failing(2, product_page("500"))
    site.pages["/429"] = failing(1, product_page("429"), status=429, Retry_After="1")
    absurd_date = "Fri, 01 May 2026 12:00:30 +99999999999999999999"
    site.pages["/absurd"] = failing(1, product_page("absurd"), status=429, Retry_After=absurd_date)
    cut_length = len(product_page("cut"))
    site.pages["/cut"] = lambda exchange, hits: exchange.answer(
        product_page("cut"),
        Content_Length=str(cut_length + (500 if hits == 1 else 0)),
        Connection="close",
    )
    site.pages["/big"] = b"<html>" + b"x" * 300_000
    site.pages["/always-503"] = failing(99, b"", status=503, Retry_After="0")
    site.pages["/loop"] = lambda exchange, _hits: exchange.answer(b"", status=302, Location="/loop")
    site.pages["/latin"] = lambda exchange, _hits: exchange.answer(
        product_page("latin", title="Café £"), Content_Type="text/html; charset=iso-8859-1"
    )
    site.pages["/cp1252"] = lambda exchange, _hits: exchange.answer(
        product_page("cp1252", title="Café “1”").decode().encode("cp1252")
    )
    site.pages["/gzip"] = lambda exchange, _hits: exchange.answer(
        gzip.compress(b"<html>" + b"x" * 5_000_000), Content_Encoding="gzip"
    )
    site.pages["/image"] = lambda exchange, _hits: exchange.answer(b"\x89PNG\r\n\x1a\n", Content_Type="image/png")
    crawls.declare([site.url], tables=f"{FULL_SPEED}[caps]\npage_bytes = 200000\n")

    messages = crawls.run()
    titles = {str(item.payload.get("key")): item.payload.get("title") for item in messages.items}
    assert set(titles) == {"u1", "u2", "u3", "u500", "u429", "uabsurd", "ucut", "ulatin", "ucp1252"}
    assert titles["ulatin"] == "Café £"
    assert titles["ucp1252"] == "Café “1”"
    assert site.hits["/private/1"] == 0
    assert site.hits["/500"] == 3
    assert site.hits["/429"] == 2
    assert site.hits["/absurd"] == 2
    assert site.hits["/always-503"] == 6
    assert site.hits["/big"] == 1
    end = messages.end
    # always-503, loop, big and gzip fail; a missing page, a forbidden page and links to other sites are not errors
    assert (end.state, end.errors, end.scraped) == (RunState.PARTIAL, 4, 9)
    assert end.reason is not None
    assert end.reason.startswith("4 pages failed; first error: ")
    outcomes = Counter(page.outcome for page in messages.pages.values())
    assert outcomes == {PageOutcome.LIST: 1, PageOutcome.BOOK: 9, PageOutcome.FAILED: 4, PageOutcome.OTHER: 2}
    assert end.pages == sum(outcomes.values())
    reasons = {page.url.removeprefix(site.url): page.reason for page in messages.pages.values()}
    assert reasons["gone"] == "the server returned status 404"
    assert reasons["image"] == "the content type is image/png"
    assert "503" in (reasons["always-503"] or "")


def test_a_missing_or_forbidden_start_page_fails_the_run(crawls: Crawls, site: Site) -> None:
    site.pages["/robots.txt"] = b"User-agent: *\nDisallow: /closed\n"
    crawls.declare([f"{site.url}nothing", f"{site.url}closed"])
    end = crawls.run().end
    assert (end.state, end.scraped, end.errors) == (RunState.FAILED, 0, 2)
    assert site.hits["/closed"] == 0


def test_an_empty_shop_is_complete(crawls: Crawls, site: Site) -> None:
    site.fill(0)
    end = crawls.run().end
    assert (end.state, end.scraped, end.pages) == (RunState.COMPLETE, 0, 1)


def test_robots_txt_is_ignored_only_if_the_source_declares_it(crawls: Crawls, site: Site) -> None:
    site.fill(2)
    site.pages["/robots.txt"] = b"User-agent: *\nDisallow: /\n"
    crawls.declare([site.url], tables=f"{FULL_SPEED}obey_robots = false\n")
    assert crawls.run().end.scraped == 2
    assert site.hits["/robots.txt"] == 0


@pytest.mark.parametrize(
    ("caps", "reason"),
    [
        ("pages = 7", "the limit of 7 pages is reached"),
        ("total_bytes = 3000", "the limit of 3000 bytes is reached"),
        ("seconds = 1.5", "the limit of 1.5 seconds is reached"),
    ],
)
def test_a_run_that_reaches_a_limit_ends_as_partial_with_its_items(
    crawls: Crawls, site: Site, caps: str, reason: str
) -> None:
    site.fill(400)
    site.delay = 0.05
    crawls.declare([site.url], tables=f"{FULL_SPEED}[caps]\n{caps}\n")
    messages = crawls.run()
    end = messages.end
    assert (end.state, end.reason) == (RunState.PARTIAL, reason)
    assert 0 < end.scraped < 400
    assert len(messages.items) == end.scraped
    if caps == "pages = 7":
        assert sum(site.hits.values()) == 8  # with robots.txt
        assert end.pages == 7


def test_the_page_limit_includes_the_pages_of_a_killed_attempt(crawls: Crawls, site: Site) -> None:
    site.fill(400)
    site.delay = 0.05
    crawls.declare(
        [site.url], tables="[politeness]\ndelay = 0\nconcurrency = 1\nautothrottle = false\n[caps]\npages = 40\n"
    )
    request = crawl_request("shop")
    run_attempt = RunAttempt(connect_redis(crawls.redis_url), request.run_id)
    killed = crawls.start(request)
    wait_until(lambda: run_attempt.counts().requests >= 25, seconds=60, what="most of the pages")
    killed.kill()
    messages = crawls.run(request)
    assert len(messages.started) == 2
    assert (messages.end.state, messages.end.reason) == (RunState.PARTIAL, "the limit of 40 pages is reached")
    # robots.txt twice, and the requests of the killed attempt since its last recorded count, at 20 per second
    assert 40 <= sum(site.hits.values()) <= 40 + 2 + 12
    assert messages.end.scraped == len(messages.items)


@pytest.mark.parametrize(
    ("spent", "reason"),
    [
        ({"bytes": 10**10}, "the limit of 10000000000 bytes is reached"),
        ({"begun": 10**12}, "the limit of 21600 seconds is reached"),
    ],
)
def test_a_resumed_run_beyond_its_limits_ends_at_once(
    crawls: Crawls, site: Site, spent: dict[str, int], reason: str
) -> None:
    site.fill(60)
    site.delay = 0.2
    request = crawl_request("shop")
    client = Redis.from_url(crawls.redis_url)
    for name, count in ({"attempt": 1, "published": 3, "pages": 5} | spent).items():
        client.hset(run_key(request.run_id), name, str(count))
    client.close()
    end = crawls.run(request).end
    assert (end.state, end.reason) == (RunState.PARTIAL, reason)
    assert 3 <= end.scraped < 60
    assert sum(site.hits.values()) <= 3


def test_private_addresses_are_blocked_in_every_notation(crawls: Crawls, site: Site) -> None:
    site.fill(2)
    port = site.url.rsplit(":", 1)[1]
    hosts = ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
    crawls.declare([f"http://{host}:{port}" for host in hosts])
    end = crawls.run(BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES="deny").end
    assert (end.state, end.errors, end.scraped) == (RunState.FAILED, len(hosts), 0)
    assert end.reason is not None
    assert "is in a private network" in end.reason
    assert not site.hits


def test_a_declared_private_source_is_crawled_but_not_a_requested_private_url(crawls: Crawls, site: Site) -> None:
    site.fill(2)
    crawls.declare([site.url], keys="private_addresses = true")
    assert crawls.run(BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES="deny").end.scraped == 2
    request = crawl_request("shop", site.url)
    messages = crawls.run(request, BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES="deny")
    assert [end.state for end in messages.finished if end.run_id == request.run_id] == [RunState.FAILED]


def test_an_invalid_request_becomes_a_failed_run_with_a_reason(crawls: Crawls) -> None:
    messages = crawls.run(crawl_request("schema_org"))
    assert len(messages.started) == 1
    assert (messages.end.state, messages.end.scraped) == (RunState.FAILED, 0)
    assert messages.end.reason == "start_url is missing: the source 'schema_org' requires one"


def test_a_stopped_run_ends_as_partial_even_if_a_page_hangs(crawls: Crawls, site: Site) -> None:
    site.fill(60)
    site.pages["/page-2.html"] = lambda _exchange, _hits: time.sleep(20)
    server = crawls.start(crawl_request("shop"))
    wait_until(lambda: site.hits["/page-2.html"] > 0, seconds=60, what="the page that hangs")
    wait_until(lambda: len(read_messages(crawls.redis_url).items) == 20, seconds=60, what="the first list")
    server.process.terminate()
    server.process.terminate()  # a supervisor's signal to the whole group comes twice
    assert server.process.wait(30) == 0
    end = read_messages(crawls.redis_url).end
    assert (end.state, end.reason, end.scraped) == (RunState.PARTIAL, "the scraper was stopped", 20)


def test_a_crawl_waits_while_the_stream_is_full(crawls: Crawls, site: Site) -> None:
    site.fill(300)
    server = crawls.start(crawl_request("shop"), BOOKWHEEL_SCRAPER_STREAM_LIMIT="20")
    wait_until(lambda: len(read_messages(crawls.redis_url).items) > 20, seconds=60, what="a full stream")
    before = len(read_messages(crawls.redis_url).items)
    time.sleep(1.5)
    assert len(read_messages(crawls.redis_url).items) == before
    assert server.process.poll() is None
    client = Redis.from_url(crawls.redis_url)
    item_numbers: set[int] = set()

    def read_and_delete_entries() -> bool:
        has_ended = False
        entries: Any = client.xrange(RAW_STREAM)
        for entry_id, fields in entries:
            message = parse_stream_message(fields[b"body"])
            if isinstance(message, RawItem):
                item_numbers.add(message.item_number)
            has_ended = has_ended or isinstance(message, RunFinished)
            client.xdel(RAW_STREAM, entry_id)
        return has_ended

    wait_until(read_and_delete_entries, seconds=60, what="the end of the crawl")
    client.close()
    assert item_numbers == set(range(1, 301))
    assert server.process.wait(30) == 0


SET_BACK = """
import time
wall, ahead = time.time, [3600.0]
time.time = lambda: wall() + ahead[0]
from bookwheel_scraper.crawl.process import install_monotonic_reactor
reactor = install_monotonic_reactor()
reactor.callLater(0.05, reactor.stop)
ahead[0] = 0.0
reactor.run(installSignalHandlers=False)
"""


def test_timers_continue_when_the_clock_is_set_back_by_an_hour() -> None:
    subprocess.run([sys.executable, "-c", SET_BACK], check=True, timeout=60)
