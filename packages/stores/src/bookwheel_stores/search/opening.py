"""Open the adapter of a search URL.

Adapters are imported on use, so that each works without the library of the other. The import of the Elasticsearch
client also takes half a second, which is most of the start time of a program that uses Tantivy.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from bookwheel_stores.search.elasticsearch.address import EXAMPLE, SCHEMES, parse_address
from bookwheel_stores.search.ports import IndexBuild, IndexReader, IndexWriter


def open_index_writer(url: str) -> IndexWriter:
    """Open `tantivy:///absolute/folder` or `elasticsearch[+https]://[user:password@]host:port[/prefix]`.

    Raises ValueError for any other URL. With Tantivy, raises IndexBusyError while another writer is open; with
    Elasticsearch, IndexUnavailableError or IndexRejectedError.
    """
    if _is_elasticsearch(url):
        from bookwheel_stores.search.elasticsearch.writer import ElasticIndexWriter  # noqa: PLC0415 - see above

        return ElasticIndexWriter(parse_address(url))
    path = _tantivy_path(url)
    from bookwheel_stores.search.tantivy.writer import open_writer  # noqa: PLC0415 - see above

    return open_writer(path)


def open_index_build(url: str) -> IndexBuild:
    """Create an index to replace the serving index. Accepts the URLs of `open_index_writer`."""
    if _is_elasticsearch(url):
        from bookwheel_stores.search.elasticsearch.build import ElasticIndexBuild  # noqa: PLC0415 - see above

        return ElasticIndexBuild(parse_address(url))
    path = _tantivy_path(url)
    from bookwheel_stores.search.tantivy.build import TantivyIndexBuild  # noqa: PLC0415 - see above

    return TantivyIndexBuild(path)


def open_index_reader(url: str) -> IndexReader:
    """Accepts the URLs of `open_index_writer`. The index may be missing, and the server may be unavailable."""
    if _is_elasticsearch(url):
        from bookwheel_stores.search.elasticsearch.reader import ElasticIndexReader  # noqa: PLC0415 - see above

        return ElasticIndexReader(parse_address(url))
    path = _tantivy_path(url)
    from bookwheel_stores.search.tantivy.reader import TantivyIndexReader  # noqa: PLC0415 - see above

    return TantivyIndexReader(path)


def _is_elasticsearch(url: str) -> bool:
    return urlsplit(url).scheme in SCHEMES


def _tantivy_path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "tantivy" or parts.netloc or not parts.path.startswith("/"):
        raise ValueError(
            f"the search URL is invalid: it must be like tantivy:///var/lib/bookwheel/index or {EXAMPLE}, not {url}"
        )
    return Path(unquote(parts.path))
