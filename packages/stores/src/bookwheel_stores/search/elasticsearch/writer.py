"""Write books to Elasticsearch, and read the index for the comparison with the records."""

from collections.abc import Sequence
from typing import Any

from bookwheel_contracts import BookState

from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.elasticsearch.bulk import BulkSender
from bookwheel_stores.search.elasticsearch.client import connect, translate_errors
from bookwheel_stores.search.elasticsearch.indices import Indices
from bookwheel_stores.search.elasticsearch.queries import NOT_REMOVED
from bookwheel_stores.search.ports import RANGE_SIZE, IndexWriter, RangeSum, RejectedBook, WritableIndex

TIMEOUT_SECONDS = 60.0
PATIENCE_SECONDS = 60.0
_RANGES_PER_PAGE = 10_000
_BOOKS_PER_PAGE = 10_000


class ElasticIndex(WritableIndex):
    """What writers and builds share. Subclasses set the name of their index or alias, and its sender."""

    _name: str
    _sender: BulkSender

    def __init__(self, address: ElasticAddress, *, timeout: float) -> None:
        self._server = address.server
        self._client = connect(address, timeout=timeout)
        self._indices = Indices(self._client, address.alias)

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        rejected = self._sender.send(_latest_states(books))
        if commit:
            self._refresh()
        return rejected

    def count(self) -> int:
        with translate_errors(self._server):
            return int(self._client.count(index=self._name, query=NOT_REMOVED)["count"])

    def range_sums(self) -> dict[int, RangeSum]:
        sums: dict[int, RangeSum] = {}
        composite: dict[str, Any] = {
            "size": _RANGES_PER_PAGE,
            "sources": [{"range": {"histogram": {"field": "number", "interval": RANGE_SIZE}}}],
        }
        digests = {"digests": {"sum": {"field": "digest"}}}
        while True:
            response = self._search(size=0, aggs={"ranges": {"composite": composite, "aggs": digests}})
            ranges = response["aggregations"]["ranges"]
            for bucket in ranges["buckets"]:
                range_index = int(bucket["key"]["range"]) // RANGE_SIZE
                sums[range_index] = RangeSum(int(bucket["doc_count"]), int(bucket["digests"]["value"]))
            if len(ranges["buckets"]) < _RANGES_PER_PAGE:
                return sums
            composite["after"] = ranges["after_key"]

    def digests(self, numbers: range) -> dict[int, int]:
        digests: dict[int, int] = {}
        for start in range(numbers.start, numbers.stop, _BOOKS_PER_PAGE):
            in_page = {"range": {"number": {"gte": start, "lt": min(start + _BOOKS_PER_PAGE, numbers.stop)}}}
            response = self._search(
                in_page, size=_BOOKS_PER_PAGE, stored_fields="_none_", docvalue_fields=["number", "digest"]
            )
            digests |= {
                int(hit["fields"]["number"][0]): int(hit["fields"]["digest"][0]) for hit in response["hits"]["hits"]
            }
        return digests

    def _search(self, *filters: dict[str, Any], **options: Any) -> Any:
        body = {"query": {"bool": {"filter": [NOT_REMOVED, *filters]}}, "track_total_hits": False, **options}
        with translate_errors(self._server):
            return self._client.search(index=self._name, body=body, allow_partial_search_results=False).body

    def _refresh(self) -> None:
        with translate_errors(self._server):
            self._client.indices.refresh(index=self._name)


class ElasticIndexWriter(ElasticIndex, IndexWriter):
    """See `IndexWriter`. Several writers may write concurrently, because the highest revision wins."""

    def __init__(
        self, address: ElasticAddress, *, timeout: float = TIMEOUT_SECONDS, patience: float = PATIENCE_SECONDS
    ) -> None:
        """`timeout` is for one request, `patience` for retries without progress, in seconds."""
        super().__init__(address, timeout=timeout)
        self._name = address.alias
        self._sender = BulkSender(self._client, self._name, patience)
        self._is_open = True
        with translate_errors(self._server):
            self._indices.ensure()

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        self._check_open()
        return super().apply(books, commit=commit)

    def clear(self) -> None:
        self._check_open()
        with translate_errors(self._server):
            for name in self._indices.swap(self._indices.create()):
                self._indices.delete(name)

    def close(self) -> None:
        self._is_open = False
        self._client.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise ValueError("the index writer is closed")


def _latest_states(books: Sequence[BookState]) -> list[BookState]:
    """Return the state with the highest revision of each book."""
    latest: dict[int, BookState] = {}
    for book in books:
        previous = latest.get(book.number)
        if previous is None or book.revision > previous.revision:
            latest[book.number] = book
    return list(latest.values())
