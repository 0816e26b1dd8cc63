"""Index builds while another index serves, and comparisons of the content."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_stores.search import (
    RANGE_SIZE,
    IndexBusyError,
    IndexRejectedError,
    IndexUnavailableError,
    RangeSum,
    digest,
    open_index_build,
    open_index_reader,
    open_index_writer,
)
from bookwheel_stores.search.elasticsearch import build as elasticsearch_build
from bookwheel_stores.search.elasticsearch.address import parse_address
from bookwheel_stores.search.elasticsearch.build import ElasticIndexBuild
from bookwheel_stores.search.queries import SearchCriteria
from bookwheel_testing.sample_books import sample_state
from elastic_transport import ConnectionTimeout, Transport


def test_range_sums_and_digests_describe_the_content(new_search_url: str) -> None:
    numbers = [1, 2, 3, RANGE_SIZE - 1, RANGE_SIZE, 5 * RANGE_SIZE + 7]
    with open_index_writer(new_search_url) as writer:
        assert (writer.range_sums(), writer.digests(range(10))) == ({}, {})
        writer.apply([sample_state(number) for number in numbers])
        writer.apply([sample_state(2, revision=2), sample_state(3, revision=2, removed=True)])
        first, second = digest("demo:1", 1), digest("demo:2", 2)
        last = digest(f"demo:{RANGE_SIZE - 1}", 1)
        assert writer.range_sums() == {
            0: RangeSum(3, first + second + last),
            1: RangeSum(1, digest(f"demo:{RANGE_SIZE}", 1)),
            5: RangeSum(1, digest(f"demo:{5 * RANGE_SIZE + 7}", 1)),
        }
        assert writer.digests(range(RANGE_SIZE)) == {1: first, 2: second, RANGE_SIZE - 1: last}
        assert writer.digests(range(2, 3)) == {2: second}
        assert writer.digests(range(RANGE_SIZE, RANGE_SIZE)) == {}


def test_a_build_serves_no_reader_until_it_is_published(new_search_url: str) -> None:
    index = open_index_reader(new_search_url)
    with open_index_writer(new_search_url) as writer:
        writer.apply([sample_state(1), sample_state(2)])
    with open_index_build(new_search_url) as build:
        build.apply([sample_state(number) for number in range(1, 6)])
        build.apply([sample_state(5, revision=2, removed=True)])
        assert build.count() == 4
        index.reload()
        assert index.count(SearchCriteria()) == 2
        build.lock()
        build.publish()
        index.reload()
        assert index.count(SearchCriteria()) == 4
        build.apply([sample_state(6)])
        index.reload()
        assert index.count(SearchCriteria()) == 5
    with open_index_writer(new_search_url) as writer:
        assert writer.count() == 5
        writer.apply([sample_state(5)])
        writer.apply([sample_state(7)])
        assert writer.count() in {6, 7}
    index.reload()
    assert index.count(SearchCriteria()) >= 6
    assert open_index_reader(new_search_url).count(SearchCriteria()) == index.count(SearchCriteria())


def test_an_abandoned_build_changes_nothing(new_search_url: str) -> None:
    with open_index_writer(new_search_url) as writer:
        writer.apply([sample_state(1)])
    with open_index_build(new_search_url) as build:
        build.apply([sample_state(2), sample_state(3)])
    for _ in range(2):
        with open_index_build(new_search_url) as build:
            build.apply([sample_state(4), sample_state(5)])
            build.lock()
            build.publish()
    index = open_index_reader(new_search_url)
    assert index.count(SearchCriteria()) == 2


def test_a_folder_with_an_open_writer_is_not_replaced(tmp_path: Path) -> None:
    url = f"tantivy://{tmp_path}/index"
    with open_index_build(url) as build:
        with open_index_writer(url) as writer, pytest.raises(IndexBusyError):
            build.lock()
        assert writer is not None
        build.lock()
        with pytest.raises(IndexBusyError):
            open_index_writer(url)
        build.publish()
        with pytest.raises(IndexBusyError):
            open_index_writer(url)
    open_index_writer(url).close()
    assert len([path for path in (tmp_path / "index").iterdir() if path.is_dir()]) == 1


@pytest.fixture
def cluster_url(elasticsearch_prefix: str, elasticsearch_server: str) -> str:
    return f"{elasticsearch_server.replace('http', 'elasticsearch')}/{elasticsearch_prefix}"


def test_a_build_keeps_removals(cluster_url: str) -> None:
    with open_index_writer(cluster_url) as writer, open_index_build(cluster_url) as build:
        writer.apply([sample_state(1)])
        build.apply([sample_state(1, revision=2, removed=True)])
        build.lock()
        build.publish()
        writer.apply([sample_state(1)])
        assert writer.count() == 0, "a late write of an old revision goes to the new index and is ignored"


def test_a_build_whose_index_was_deleted_by_another_build_creates_no_index_without_a_mapping(
    cluster_url: str, elasticsearch_prefix: str, elasticsearch_server: str
) -> None:
    """Redis can lose the lock that builds share."""
    open_index_writer(cluster_url).close()
    with open_index_build(cluster_url) as first, open_index_build(cluster_url) as second:
        with pytest.raises(IndexRejectedError):
            first.apply([sample_state(1)])
        second.apply([sample_state(1), sample_state(2)])
        second.lock()
        second.publish()
    assert open_index_reader(cluster_url).count(SearchCriteria()) == 2
    assert len(list_indices(elasticsearch_server, elasticsearch_prefix)) == 1


@dataclass
class SimulatedTimeout:
    """Makes one request to Elasticsearch time out, before or after the server executes it."""

    number: int = 0
    executed: bool = False
    path: str = ""
    sent: int = 0

    def start(self, *, number: int = 0, path: str = "", executed: bool) -> None:
        """Choose the request by its number from 1 on, or as the first one to this path."""
        self.number, self.path, self.executed, self.sent = number, path, executed, 0

    def perform_request(self, transport: Transport, method: str, target: str, **options: Any) -> Any:
        self.sent += 1
        is_chosen = self.sent == self.number or (self.path and target.startswith(self.path))
        if is_chosen and not self.executed:
            self.path = ""
            raise ConnectionTimeout(f"simulated timeout of {method} {target}")
        response = _perform_request(transport, method, target, **options)
        if is_chosen:
            self.path = ""
            raise ConnectionTimeout(f"simulated timeout of {method} {target}")
        return response


_perform_request = Transport.perform_request


@pytest.fixture
def timeout(monkeypatch: pytest.MonkeyPatch) -> SimulatedTimeout:
    timeout = SimulatedTimeout()

    def perform_request(transport: Transport, method: str, target: str, **options: Any) -> Any:
        return timeout.perform_request(transport, method, target, **options)

    monkeypatch.setattr(Transport, "perform_request", perform_request)
    monkeypatch.setattr(elasticsearch_build, "_CLEANUP_DELAY_SECONDS", 0)
    monkeypatch.setattr(elasticsearch_build, "_RETRY_SECONDS", 0)
    return timeout


def list_indices(server: str, prefix: str) -> list[str]:
    return httpx.get(f"{server}/_cat/indices/{prefix}*?h=index", timeout=60).text.split()


@pytest.mark.parametrize("executed", [False, True])
def test_a_build_that_times_out_at_any_request_leaves_an_index_serving(
    cluster_url: str, elasticsearch_prefix: str, elasticsearch_server: str, timeout: SimulatedTimeout, executed: bool
) -> None:
    with open_index_writer(cluster_url) as writer:
        writer.apply([sample_state(1), sample_state(2)])
    reader = open_index_reader(cluster_url)
    failed = 0
    for number in range(1, 99):
        timeout.start(number=number, executed=executed)
        try:
            with ElasticIndexBuild(parse_address(cluster_url), patience=0) as build:
                build.apply([sample_state(1), sample_state(2)])
                assert build.count() == 2
                build.publish()
        except IndexUnavailableError:
            failed += 1
        requests = timeout.sent
        timeout.start(executed=False)
        assert reader.count(SearchCriteria()) == 2, f"after a timeout of request {number}"
        if requests < number:
            break
    assert failed >= 7
    assert len(list_indices(elasticsearch_server, elasticsearch_prefix)) == 1
    with open_index_writer(cluster_url) as writer:
        writer.apply([sample_state(3)])
    assert reader.count(SearchCriteria()) == 3


@pytest.mark.parametrize("executed", [False, True])
def test_publishing_is_repeated_after_a_timeout(
    cluster_url: str, elasticsearch_prefix: str, elasticsearch_server: str, timeout: SimulatedTimeout, executed: bool
) -> None:
    open_index_writer(cluster_url).close()
    with open_index_build(cluster_url) as build:
        build.apply([sample_state(1), sample_state(2)])
        timeout.start(path="/_aliases", executed=executed)
        build.publish()
    assert timeout.path == "", "the request has timed out"
    assert open_index_reader(cluster_url).count(SearchCriteria()) == 2
    assert len(list_indices(elasticsearch_server, elasticsearch_prefix)) == 1


def test_a_failed_cleanup_does_not_fail_the_build(cluster_url: str, timeout: SimulatedTimeout) -> None:
    open_index_writer(cluster_url).close()
    with open_index_build(cluster_url) as build:
        build.apply([sample_state(1)])
        build.publish()
        timeout.start(number=1, executed=False)
    assert open_index_reader(cluster_url).count(SearchCriteria()) == 1
