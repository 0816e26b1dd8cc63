"""The search index: one writer that the projection feeds, any number of readers."""

from bookwheel_stores.search.index_reader import IndexReader
from bookwheel_stores.search.index_writer import IndexBusy, IndexWriter, SearchError
from bookwheel_stores.search.opening import open_index_reader, open_index_writer

__all__ = ["IndexBusy", "IndexReader", "IndexWriter", "SearchError", "open_index_reader", "open_index_writer"]
