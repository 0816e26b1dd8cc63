"""The search index: one writer that the projection feeds, any number of readers."""

from bookwheel_stores.search.digests import RANGE, RangeSum, digest
from bookwheel_stores.search.index_build import IndexBuild
from bookwheel_stores.search.index_reader import IndexReader
from bookwheel_stores.search.index_writer import (
    IndexBusyError,
    IndexContents,
    IndexRejectedError,
    IndexUnavailableError,
    IndexWriter,
    RejectedBook,
    SearchError,
)
from bookwheel_stores.search.opening import open_index_build, open_index_reader, open_index_writer

__all__ = [
    "RANGE",
    "IndexBuild",
    "IndexBusyError",
    "IndexContents",
    "IndexReader",
    "IndexRejectedError",
    "IndexUnavailableError",
    "IndexWriter",
    "RangeSum",
    "RejectedBook",
    "SearchError",
    "digest",
    "open_index_build",
    "open_index_reader",
    "open_index_writer",
]
