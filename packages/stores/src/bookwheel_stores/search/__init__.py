"""The search index: one writer that the projection feeds, any number of readers."""

from bookwheel_stores.search.index_reader import IndexReader
from bookwheel_stores.search.index_writer import (
    IndexAway,
    IndexBusy,
    IndexRefused,
    IndexWriter,
    Rejected,
    SearchError,
)
from bookwheel_stores.search.opening import open_index_reader, open_index_writer

__all__ = [
    "IndexAway",
    "IndexBusy",
    "IndexReader",
    "IndexRefused",
    "IndexWriter",
    "Rejected",
    "SearchError",
    "open_index_reader",
    "open_index_writer",
]
