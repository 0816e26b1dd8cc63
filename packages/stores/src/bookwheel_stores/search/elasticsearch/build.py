"""Fills a new Elasticsearch index and puts it behind the alias."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bookwheel_contracts import BookState

from bookwheel_stores.search.digests import RangeSum
from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.elasticsearch.bulk import BulkSender
from bookwheel_stores.search.elasticsearch.contents import ElasticContents
from bookwheel_stores.search.elasticsearch.errors import translated
from bookwheel_stores.search.elasticsearch.indices import Indices, filling
from bookwheel_stores.search.elasticsearch.writer import PATIENCE, TIMEOUT, latest_of
from bookwheel_stores.search.index_writer import RejectedBook

_LAST_SEARCHES = 0.2  # seconds for searches that are on their way; a later one asks again, see `elastic_search`
_REST = 2.0  # Elasticsearch takes in as fast as it can, and searches beside it wait


class ElasticIndexBuild:
    """See `IndexBuild`. One at a time: it removes what an earlier one, that was killed, left behind."""

    def __init__(self, address: ElasticAddress) -> None:
        self._address = address
        self._client = address.connect(timeout=TIMEOUT)
        self._indices = Indices(self._client, address.alias)
        self._replaced: list[str] = []
        self._is_published = False
        with translated(address.server):
            self._name = self._indices.create()  # first, so that it has a name of its own
            kept = {self._name, *self._indices.serving()}
            for name in self._indices.all():
                if name not in kept:
                    self._indices.discard(name)
        self._sender = BulkSender(self._client, filling(self._name), PATIENCE, at_once=1, rest=_REST)
        self._contents = ElasticContents(self._client, self._name)

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        """Nobody reads it before it is published: until then nothing is committed book by book."""
        rejected = self._sender.send(latest_of(books))
        if commit and self._is_published:
            self._refresh()
        return rejected

    def count(self) -> int:
        self._refresh()
        with translated(self._address.server):
            return self._contents.count()

    def sums(self) -> dict[int, RangeSum]:
        self._refresh()
        with translated(self._address.server):
            return self._contents.sums()

    def digests(self, numbers: range) -> dict[int, int]:
        self._refresh()
        with translated(self._address.server):
            return self._contents.digests(numbers)

    def hold(self) -> None:
        pass

    def publish(self) -> None:
        self._refresh()
        with translated(self._address.server):
            self._replaced = self._indices.swap(self._name)
        self._is_published = True

    def close(self) -> None:
        with translated(self._address.server):
            if not self._is_published:
                self._indices.discard(self._name)
            elif self._replaced:
                time.sleep(_LAST_SEARCHES)
                for name in self._replaced:
                    self._indices.discard(name)
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refresh(self) -> None:
        with translated(self._address.server):
            self._client.indices.refresh(index=self._name)
