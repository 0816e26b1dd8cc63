"""A new index beside the one that serves, and what is told of an index's content."""

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from bookwheel_contracts import Book, BookState
from bookwheel_stores.search import (
    RANGE_SIZE,
    IndexBusyError,
    IndexRejectedError,
    RangeSum,
    digest,
    open_index_build,
    open_index_reader,
    open_index_writer,
)
from bookwheel_stores.search.queries import Selection
from bookwheel_testing.sample_books import state_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def book(number: int, *, revision: int = 1, removed: bool = False) -> BookState:
    seen = {"first_seen": NOW, "last_seen": NOW, "last_changed": NOW}
    return state_of(
        Book(id=f"demo:{number}", number=number, title="The Moon", revision=revision, **seen), removed=removed
    )


def test_an_index_tells_its_content_by_range(new_search_url: str) -> None:
    numbers = [1, 2, 3, RANGE_SIZE - 1, RANGE_SIZE, 5 * RANGE_SIZE + 7]
    with open_index_writer(new_search_url) as writer:
        assert (writer.range_sums(), writer.digests(range(10))) == ({}, {})
        writer.apply([book(number) for number in numbers])
        writer.apply([book(2, revision=2), book(3, revision=2, removed=True)])
        one, two = digest("demo:1", 1), digest("demo:2", 2)
        last = digest(f"demo:{RANGE_SIZE - 1}", 1)
        assert writer.range_sums() == {
            0: RangeSum(3, one + two + last),
            1: RangeSum(1, digest(f"demo:{RANGE_SIZE}", 1)),
            5: RangeSum(1, digest(f"demo:{5 * RANGE_SIZE + 7}", 1)),
        }
        assert writer.digests(range(RANGE_SIZE)) == {1: one, 2: two, RANGE_SIZE - 1: last}
        assert writer.digests(range(2, 3)) == {2: two}
        assert writer.digests(range(RANGE_SIZE, RANGE_SIZE)) == {}


def test_a_build_serves_nobody_until_it_is_published(new_search_url: str) -> None:
    index = open_index_reader(new_search_url)
    with open_index_writer(new_search_url) as writer:
        writer.apply([book(1), book(2)])
    with open_index_build(new_search_url) as build:
        build.apply([book(number) for number in range(1, 6)])
        build.apply([book(5, revision=2, removed=True)])
        assert build.count() == 4
        index.reload()
        assert index.count(Selection()) == 2
        build.lock()
        build.publish()
        index.reload()
        assert index.count(Selection()) == 4
        build.apply([book(6)])
        index.reload()
        assert index.count(Selection()) == 5
    with open_index_writer(new_search_url) as writer:
        assert writer.count() == 5
        writer.apply([book(5)])
        writer.apply([book(7)])
        assert writer.count() in {6, 7}
    index.reload()
    assert index.count(Selection()) >= 6
    assert open_index_reader(new_search_url).count(Selection()) == index.count(Selection())


def test_a_build_that_is_given_up_changes_nothing(new_search_url: str) -> None:
    with open_index_writer(new_search_url) as writer:
        writer.apply([book(1)])
    with open_index_build(new_search_url) as build:
        build.apply([book(2), book(3)])
    for _ in range(2):
        with open_index_build(new_search_url) as build:
            build.apply([book(4), book(5)])
            build.lock()
            build.publish()
    index = open_index_reader(new_search_url)
    assert index.count(Selection()) == 2


def test_a_folder_that_is_written_to_is_not_replaced(tmp_path: Path) -> None:
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
    assert len([each for each in (tmp_path / "index").iterdir() if each.is_dir()]) == 1


@pytest.fixture
def removed_late(elasticsearch_prefix: str, elasticsearch_server: str) -> str:
    return f"{elasticsearch_server.replace('http', 'elasticsearch')}/{elasticsearch_prefix}"


def test_a_removal_is_kept_by_a_build_too(removed_late: str) -> None:
    with open_index_writer(removed_late) as writer, open_index_build(removed_late) as build:
        writer.apply([book(1)])
        build.apply([book(1, revision=2, removed=True)])
        build.lock()
        build.publish()
        writer.apply([book(1)])
        assert writer.count() == 0, "a writer that was slow writes to the new index, and comes too late"


def test_a_build_whose_index_another_one_removed_makes_none_without_mapping(
    removed_late: str, elasticsearch_prefix: str, elasticsearch_server: str
) -> None:
    """Redis can lose the lock by which builds take turns."""
    open_index_writer(removed_late).close()
    with open_index_build(removed_late) as first, open_index_build(removed_late) as second:
        with pytest.raises(IndexRejectedError):
            first.apply([book(1)])
        second.apply([book(1), book(2)])
        second.lock()
        second.publish()
    assert open_index_reader(removed_late).count(Selection()) == 2
    names = httpx.get(f"{elasticsearch_server}/_cat/indices/{elasticsearch_prefix}*?h=index", timeout=60).text.split()
    assert len(names) == 1
