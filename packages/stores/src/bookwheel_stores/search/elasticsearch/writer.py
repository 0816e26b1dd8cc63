"""Writes books to Elasticsearch."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bookwheel_contracts import BookState

from bookwheel_stores.search.digests import RangeSum
from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.elasticsearch.bulk import BulkSender
from bookwheel_stores.search.elasticsearch.contents import ElasticContents
from bookwheel_stores.search.elasticsearch.errors import translated
from bookwheel_stores.search.elasticsearch.indices import Indices
from bookwheel_stores.search.index_writer import RejectedBook

TIMEOUT = 60.0
PATIENCE = 60.0


class ElasticIndexWriter:
    """See `IndexWriter`. Any number of them may write at once: revisions decide what stays."""

    def __init__(self, address: ElasticAddress, *, timeout: float = TIMEOUT, patience: float = PATIENCE) -> None:
        """`timeout` is how long one answer may take, `patience` how long none may have been good, in seconds."""
        self._address = address
        self._client = address.connect(timeout=timeout)
        self._indices = Indices(self._client, address.alias)
        self._sender = BulkSender(self._client, address.alias, patience)
        self._contents = ElasticContents(self._client, address.alias)
        self._is_open = True
        with translated(address.server):
            self._indices.ensure()

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        self._check_open()
        rejected = self._sender.send(latest_of(books))
        if not commit:
            return rejected
        with translated(self._address.server):
            self._client.indices.refresh(index=self._address.alias)
        return rejected

    def clear(self) -> None:
        self._check_open()
        with translated(self._address.server):
            for name in self._indices.swap(self._indices.create()):
                self._indices.discard(name)

    def count(self) -> int:
        with translated(self._address.server):
            return self._contents.count()

    def sums(self) -> dict[int, RangeSum]:
        with translated(self._address.server):
            return self._contents.sums()

    def digests(self, numbers: range) -> dict[int, int]:
        with translated(self._address.server):
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


def latest_of(books: Sequence[BookState]) -> list[BookState]:
    """Each book once, at its highest revision."""
    latest: dict[int, BookState] = {}
    for book in books:
        known = latest.get(book.number)
        if known is None or book.revision > known.revision:
            latest[book.number] = book
    return list(latest.values())
