"""From the search URL to the adapter behind it.

Elasticsearch's adapter and client are imported where they are used: they take half a second of processor time, most of
what a program that searches Tantivy would need to start.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from bookwheel_stores.search.elasticsearch import address as elastic_address
from bookwheel_stores.search.index_build import IndexBuild
from bookwheel_stores.search.index_reader import IndexReader
from bookwheel_stores.search.index_writer import IndexWriter
from bookwheel_stores.search.tantivy import folders as tantivy_folders
from bookwheel_stores.search.tantivy.folders import TantivyIndexBuild
from bookwheel_stores.search.tantivy.reader import TantivyIndexReader


def open_index_writer(url: str) -> IndexWriter:
    """`tantivy:///absolute/folder`, or `elasticsearch[+https]://[user:password@]host:port[/prefix]`.

    Raises ValueError for another URL. On Tantivy, raises IndexBusy while another writer is open; on Elasticsearch,
    IndexAway while it does not answer and IndexRefused where it won't.
    """
    if is_elastic(url):
        from bookwheel_stores.search.elasticsearch.writer import ElasticIndexWriter  # noqa: PLC0415 - see above

        return ElasticIndexWriter(elastic_address.parse_address(url))
    return tantivy_folders.open_writer(_tantivy_path(url))


def open_index_build(url: str) -> IndexBuild:
    """A new index to take the place of the one that serves. The same URLs and errors; IndexBusy only from `hold`."""
    if is_elastic(url):
        from bookwheel_stores.search.elasticsearch.build import ElasticIndexBuild  # noqa: PLC0415 - see above

        return ElasticIndexBuild(elastic_address.parse_address(url))
    return TantivyIndexBuild(_tantivy_path(url))


def open_index_reader(url: str) -> IndexReader:
    """The same URLs. The index need not exist yet, nor the server answer. Raises ValueError for another URL."""
    if is_elastic(url):
        from bookwheel_stores.search.elasticsearch.reader import ElasticIndexReader  # noqa: PLC0415 - see above

        return ElasticIndexReader(elastic_address.parse_address(url))
    return TantivyIndexReader(_tantivy_path(url))


def is_elastic(url: str) -> bool:
    return urlsplit(url).scheme in elastic_address.SCHEMES


def _tantivy_path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "tantivy" or parts.netloc or not parts.path.startswith("/"):
        raise ValueError(
            f"not a search URL such as tantivy:///var/lib/bookwheel/index or {elastic_address.EXAMPLE}: {url}"
        )
    return Path(unquote(parts.path))
