"""Elasticsearch overloaded, unavailable, restarted or rejecting: no book is lost, and the error names the cause."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_local.engines import EngineNotInstalledError
from bookwheel_stores.search import IndexRejectedError, IndexUnavailableError, open_index_reader, open_index_writer
from bookwheel_stores.search.elasticsearch.address import parse_address
from bookwheel_stores.search.elasticsearch.bulk import BulkSender
from bookwheel_stores.search.elasticsearch.client import connect
from bookwheel_stores.search.elasticsearch.writer import ElasticIndexWriter
from bookwheel_stores.search.queries import SearchCriteria
from bookwheel_testing.engines import running_elasticsearch, server_folder, skip_or_raise
from bookwheel_testing.sample_books import sample_state
from bookwheel_testing.search import elasticsearch_url
from bookwheel_testing.servers import answers, free_port, running

BOOKS = 9_000
ITEM_FAULTS, REQUEST_FAULTS = 5_000, 24


@pytest.fixture
def url(elasticsearch_server: str) -> Iterator[str]:
    with elasticsearch_url(elasticsearch_server) as url:
        yield url


@contextmanager
def faulty(url: str, folder: Path, *, items: int, requests: int = 0, share: int = 40) -> Iterator[tuple[str, str]]:
    """Yields the URL of the same index through a proxy that injects faults, and the URL of the proxy."""
    port, (_, _, upstream) = free_port(), parse_address(url).server.rpartition(":")
    arguments = [str(port), upstream, str(items), str(requests), str(share)]
    command = [sys.executable, "-m", "bookwheel_testing.elasticsearch_faults", *arguments]
    proxy = f"http://127.0.0.1:{port}"
    with running(command, log=folder / "faults.log", ready=lambda: answers(f"{proxy}/-/faults")):
        yield url.replace(f":{upstream}", f":{port}"), proxy


@pytest.mark.slow
def test_five_thousand_rejections_and_timeouts_lose_no_book(url: str, tmp_path: Path) -> None:
    open_index_writer(url).close()  # a server that has just started may take longer than the timeout below
    with faulty(url, tmp_path, items=ITEM_FAULTS, requests=REQUEST_FAULTS) as (faulty_url, proxy):
        with ElasticIndexWriter(parse_address(faulty_url), timeout=2.0, patience=60) as writer:
            rejected = []
            for start in range(0, BOOKS, 1500):
                rejected += writer.apply([sample_state(number) for number in range(start + 1, start + 1501)])
                rejected += writer.apply([sample_state(number, revision=2) for number in range(start + 1, start + 301)])
        injected = httpx.get(f"{proxy}/-/faults").json()
    assert rejected == []
    assert injected["item 429"] + injected["item 503"] == ITEM_FAULTS
    assert sum(count for kind, count in injected.items() if kind.startswith("request")) == REQUEST_FAULTS
    assert min(injected[f"request {kind}"] for kind in ("429", "503", "closed", "delayed")) == REQUEST_FAULTS // 4
    index = open_index_reader(url)
    assert index.count(SearchCriteria()) == BOOKS
    assert sorted(index.list_numbers(SearchCriteria(), limit=BOOKS + 1)) == list(range(1, BOOKS + 1))


def test_invalid_books_are_returned_and_other_books_are_written(url: str) -> None:
    content = sample_state(2).content.replace(b'"rating_count":null', b'"rating_count":"many"')
    wrong_type = sample_state(2)._replace(content=content)
    unreadable = sample_state(4)._replace(content=b"{")
    content = sample_state(6).content.replace(b'"stock":null', b'"stock":99999999999999999999')
    too_large = sample_state(6)._replace(content=content)
    with open_index_writer(url) as writer:
        rejected = writer.apply([sample_state(1), wrong_type, sample_state(3), unreadable, sample_state(5), too_large])
        assert {item.book.number for item in rejected} == {2, 4, 6}
        assert "rating_count" in next(item.reason for item in rejected if item.book.number == 2)
        assert writer.count() == 3
        assert writer.apply([sample_state(2, revision=2)]) == []
        assert writer.count() == 4


def test_a_late_write_does_not_restore_a_removed_book_even_after_a_restart(tmp_path: Path) -> None:
    with server_folder() as folder:
        data_folder = folder / "elasticsearch"
        try:
            with running_elasticsearch(folder=data_folder, fast_start=True) as (server, _), _writer(server) as writer:
                writer.apply([sample_state(1), sample_state(2)])
                writer.apply([sample_state(1, revision=2, removed=True)])
                writer.apply([sample_state(1, title="Late")])
                assert writer.count() == 1
        except EngineNotInstalledError as error:
            skip_or_raise(error)
        with running_elasticsearch(folder=data_folder, fast_start=True) as (server, _), _writer(server) as writer:
            assert writer.count() == 1, "the removal survives the restart"
            writer.apply([sample_state(1, title="Late")])
            assert writer.count() == 1, "the late write is ignored"
            writer.apply([sample_state(1, revision=3)])
            assert writer.count() == 2, "a newer revision restores the book"


def _writer(server: str) -> ElasticIndexWriter:
    return ElasticIndexWriter(parse_address(server.replace("http", "elasticsearch")))


def test_concurrent_writers_leave_the_highest_revisions(url: str) -> None:
    with open_index_writer(url) as first, open_index_writer(url) as second:
        first.apply([sample_state(number, revision=2) for number in range(1, 50)])
        second.apply([sample_state(number) for number in range(1, 100)])
        second.apply([sample_state(1, revision=3, removed=True)])
        first.apply([sample_state(1, revision=2)])
        assert (first.count(), second.count()) == (98, 98)


def test_an_unavailable_server_is_reported(tmp_path: Path) -> None:
    url = f"elasticsearch://127.0.0.1:{free_port()}"
    with pytest.raises(IndexUnavailableError, match="is unavailable"):
        open_index_writer(url)
    index = open_index_reader(url)
    with pytest.raises(IndexUnavailableError, match="is unavailable"):
        index.count(SearchCriteria())
    with pytest.raises(IndexUnavailableError):
        index.ping()


def test_a_read_only_or_deleted_index_stops_the_writer(url: str, elasticsearch_server: str) -> None:
    prefix = url.rpartition("/")[2]
    with open_index_writer(url) as writer:
        writer.apply([sample_state(1)])
        _settings(elasticsearch_server, prefix, {"index.blocks.read_only_allow_delete": True})
        with pytest.raises(IndexRejectedError, match="cluster_block_exception"):
            writer.apply([sample_state(2)])
        _settings(elasticsearch_server, prefix, {"index.blocks.read_only_allow_delete": None})
        assert writer.apply([sample_state(2)]) == []
        httpx.delete(f"{elasticsearch_server}/{prefix}books-v2-1", timeout=60).raise_for_status()
        with pytest.raises(IndexRejectedError, match="index_not_found"):
            writer.apply([sample_state(3)])
    names = httpx.get(f"{elasticsearch_server}/_cat/indices/{prefix}*?h=index", timeout=60).text.split()
    assert names == [], "a write creates no index without a mapping"
    with open_index_writer(url) as writer:
        writer.apply([sample_state(3)])
        assert writer.count() == 1


def _settings(server: str, prefix: str, settings: dict[str, Any]) -> None:
    httpx.put(f"{server}/{prefix}*/_settings", json=settings, timeout=60).raise_for_status()


def test_a_permanently_overloaded_server_is_reported_as_unavailable(url: str, tmp_path: Path) -> None:
    with (
        faulty(url, tmp_path, items=1 << 40, share=100) as (faulty_url, _),
        ElasticIndexWriter(parse_address(faulty_url), timeout=5, patience=0.3) as writer,
        pytest.raises(IndexUnavailableError, match="none of 1 books"),
    ):
        writer.apply([sample_state(1)])


def test_a_sender_pauses_after_each_request_in_proportion_to_its_duration(url: str) -> None:
    pauses: list[float] = []
    with ElasticIndexWriter(parse_address(url)):  # creates the index
        pass
    address = parse_address(url)
    client = connect(address, timeout=30)
    sender = BulkSender(client, address.alias, 30, concurrency=1, pause_ratio=2.0, sleep=pauses.append)
    started = time.monotonic()
    assert sender.send([sample_state(number) for number in range(1, 1202)]) == []
    elapsed = time.monotonic() - started
    client.close()
    assert len(pauses) == 3, "a request has at most 500 books"
    assert 0 < sum(pauses) < 2 * elapsed


@pytest.mark.parametrize(
    "url",
    ["elasticsearch://", "elasticsearch://host", "elasticsearch://host:9200/Books", "elasticsearch://h:9200/a/b?c=d"],
)
def test_an_incomplete_url_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match="search URL is invalid"):
        open_index_reader(url)


def test_error_messages_do_not_contain_the_password() -> None:
    with pytest.raises(ValueError, match="search URL is invalid") as raised:
        open_index_reader("elasticsearch://user:secret@host/Books")
    assert "secret" not in str(raised.value)
