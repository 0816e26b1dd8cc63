"""The search index: writers, readers and index builds."""

from bookwheel_stores.search.opening import open_index_build, open_index_reader, open_index_writer
from bookwheel_stores.search.ports import (
    RANGE_SIZE,
    IndexBuild,
    IndexBusyError,
    IndexReader,
    IndexRejectedError,
    IndexUnavailableError,
    IndexWriter,
    RangeSum,
    RejectedBook,
    SearchError,
    WritableIndex,
    digest,
)

__all__ = [
    "RANGE_SIZE",
    "IndexBuild",
    "IndexBusyError",
    "IndexReader",
    "IndexRejectedError",
    "IndexUnavailableError",
    "IndexWriter",
    "RangeSum",
    "RejectedBook",
    "SearchError",
    "WritableIndex",
    "digest",
    "open_index_build",
    "open_index_reader",
    "open_index_writer",
]
