"""The search index: one writer that the projection feeds, any number of readers."""

from bookwheel_stores.search.digests import RANGE, RangeSum, digest
from bookwheel_stores.search.index_build import IndexBuild
from bookwheel_stores.search.index_reader import IndexReader
from bookwheel_stores.search.index_writer import (
    IndexAway,
    IndexBusy,
    IndexContents,
    IndexRefused,
    IndexWriter,
    Rejected,
    SearchError,
)
from bookwheel_stores.search.opening import open_index_build, open_index_reader, open_index_writer

__all__ = [
    "RANGE",
    "IndexAway",
    "IndexBuild",
    "IndexBusy",
    "IndexContents",
    "IndexReader",
    "IndexRefused",
    "IndexWriter",
    "RangeSum",
    "Rejected",
    "SearchError",
    "digest",
    "open_index_build",
    "open_index_reader",
    "open_index_writer",
]
