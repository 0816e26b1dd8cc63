"""Index writers are idempotent and never return to an older revision."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bookwheel_stores.search import IndexBusyError, IndexWriter, open_index_writer
from bookwheel_testing.sample_books import sample_state


@pytest.fixture
def writer(new_search_url: str) -> Iterator[IndexWriter]:
    with open_index_writer(new_search_url) as writer:
        yield writer


def test_books_written_twice_are_indexed_once(writer: IndexWriter) -> None:
    writer.apply([sample_state(1), sample_state(2)])
    writer.apply([sample_state(1), sample_state(2)])
    writer.apply([sample_state(2), sample_state(2)])
    assert writer.count() == 2


def test_removed_books_are_deleted_and_unknown_removals_ignored(writer: IndexWriter) -> None:
    writer.apply([sample_state(1), sample_state(2)])
    writer.apply([sample_state(1, revision=2, removed=True), sample_state(7, removed=True)])
    assert writer.count() == 1


def test_the_highest_revision_of_a_book_wins(writer: IndexWriter) -> None:
    writer.apply(
        [
            sample_state(1),
            sample_state(1, revision=2, removed=True),
            sample_state(2, removed=True),
            sample_state(2, revision=2),
        ]
    )
    assert writer.count() == 1
    writer.apply([sample_state(2, removed=True)])
    assert writer.count() == 1, "an older removal is ignored"
    writer.apply([sample_state(2, revision=3, removed=True)])
    assert writer.count() == 0


def test_uncommitted_states_of_a_book_are_indexed_once(writer: IndexWriter) -> None:
    writer.apply([sample_state(1), sample_state(2)], commit=False)
    writer.apply([sample_state(1, revision=2), sample_state(2, revision=2, removed=True)], commit=False)
    writer.apply([sample_state(1), sample_state(2)], commit=False)
    writer.apply([])
    assert writer.count() == 1


def test_a_failure_discards_uncommitted_books(tmp_path: Path) -> None:
    with open_index_writer(f"tantivy://{tmp_path}/index") as writer:
        writer.apply([sample_state(1)], commit=False)
        with pytest.raises(ValueError, match="beyond"):
            writer.apply([sample_state(1 << 40)], commit=False)
        writer.apply([sample_state(2)])
        assert writer.count() == 1
        writer.apply([sample_state(3)], commit=False)
    with open_index_writer(f"tantivy://{tmp_path}/index") as writer:
        assert writer.count() == 1


def test_a_folder_has_one_writer_at_a_time(tmp_path: Path) -> None:
    url = f"tantivy://{tmp_path}/index"
    writer = open_index_writer(url)
    with pytest.raises(IndexBusyError):
        open_index_writer(url)
    writer.close()
    open_index_writer(url).close()


def test_a_closed_writer_rejects_writes(writer: IndexWriter) -> None:
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.apply([sample_state(1)])


def test_a_cleared_index_is_empty(writer: IndexWriter) -> None:
    writer.apply([sample_state(1)])
    writer.clear()
    assert writer.count() == 0


def test_a_failed_batch_writes_nothing(tmp_path: Path) -> None:
    with open_index_writer(f"tantivy://{tmp_path}/index") as writer:
        with pytest.raises(ValueError, match="beyond"):
            writer.apply([sample_state(1), sample_state(1 << 40)])
        writer.apply([sample_state(2)])
        assert writer.count() == 1


@pytest.mark.parametrize("url", ["tantivy://host/index", "http://localhost:9200", "tantivy:relative", ""])
def test_an_unknown_url_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match="search URL is invalid"):
        open_index_writer(url)
