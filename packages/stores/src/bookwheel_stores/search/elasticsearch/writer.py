"""Write books to Elasticsearch, and read the index for the comparison with the records."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from bookwheel_contracts import BookState
from elasticsearch import Elasticsearch

from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.elasticsearch.bulk import BulkSender
from bookwheel_stores.search.elasticsearch.client import connect, translate_errors
from bookwheel_stores.search.elasticsearch.indices import Indices
from bookwheel_stores.search.elasticsearch.queries import NOT_REMOVED
from bookwheel_stores.search.ports import RANGE_SIZE, RangeSum, RejectedBook

TIMEOUT = 60.0
PATIENCE = 60.0
_RANGES_PER_PAGE = 10_000
_BOOKS_PER_PAGE = 10_000


class ElasticIndexWriter:
    """See `IndexWriter`. Several writers may write concurrently, because the highest revision wins."""

    def __init__(self, address: ElasticAddress, *, timeout: float = TIMEOUT, patience: float = PATIENCE) -> None:
        """`timeout` is for one request, `patience` for retries without progress, in seconds."""
        self._address = address
        self._client = connect(address, timeout=timeout)
        self._indices = Indices(self._client, address.alias)
        self._sender = BulkSender(self._client, address.alias, patience)
        self._contents = ElasticContents(self._client, address.alias)
        self._is_open = True
        with translate_errors(address.server):
            self._indices.ensure()

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        self._check_open()
        rejected = self._sender.send(latest_states(books))
        if not commit:
            return rejected
        with translate_errors(self._address.server):
            self._client.indices.refresh(index=self._address.alias)
        return rejected

    def clear(self) -> None:
        self._check_open()
        with translate_errors(self._address.server):
            for name in self._indices.swap(self._indices.create()):
                self._indices.delete(name)

    def count(self) -> int:
        with translate_errors(self._address.server):
            return self._contents.count()

    def range_sums(self) -> dict[int, RangeSum]:
        with translate_errors(self._address.server):
            return self._contents.range_sums()

    def digests(self, numbers: range) -> dict[int, int]:
        with translate_errors(self._address.server):
            return self._contents.digests(numbers)

    def close(self) -> None:
        self._is_open = False
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise ValueError("the index writer is closed")


def latest_states(books: Sequence[BookState]) -> list[BookState]:
    """Return the state with the highest revision of each book."""
    latest: dict[int, BookState] = {}
    for book in books:
        previous = latest.get(book.number)
        if previous is None or book.revision > previous.revision:
            latest[book.number] = book
    return list(latest.values())


@dataclass(frozen=True, slots=True)
class ElasticContents:
    """The books of an index or alias as of its last refresh."""

    client: Elasticsearch
    index: str

    def count(self) -> int:
        return int(self.client.count(index=self.index, query=NOT_REMOVED)["count"])

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
        return self.client.search(index=self.index, body=body, allow_partial_search_results=False).body
