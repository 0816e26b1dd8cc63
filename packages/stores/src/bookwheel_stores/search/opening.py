"""From the search URL to the adapter behind it."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from bookwheel_stores.search.index_reader import IndexReader
from bookwheel_stores.search.index_writer import IndexWriter
from bookwheel_stores.search.tantivy_reader import TantivyIndexReader
from bookwheel_stores.search.tantivy_writer import TantivyIndexWriter


def open_index_writer(url: str) -> IndexWriter:
    """`tantivy:///absolute/folder`. Raises IndexBusy while another writer is open, ValueError for another URL."""
    return TantivyIndexWriter(_tantivy_path(url))


def open_index_reader(url: str) -> IndexReader:
    """`tantivy:///absolute/folder`, which need not exist yet. Raises ValueError for another URL."""
    return TantivyIndexReader(_tantivy_path(url))


def _tantivy_path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "tantivy" or parts.netloc or not parts.path.startswith("/"):
        raise ValueError(f"not a search URL such as tantivy:///var/lib/bookwheel/index: {url}")
    return Path(unquote(parts.path))
