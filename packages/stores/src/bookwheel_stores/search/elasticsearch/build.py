"""Build a new Elasticsearch index and switch the alias to it."""

import logging
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bookwheel_contracts import BookState

from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.elasticsearch.bulk import BulkSender
from bookwheel_stores.search.elasticsearch.client import connect, translate_errors
from bookwheel_stores.search.elasticsearch.indices import Indices, build_alias
from bookwheel_stores.search.elasticsearch.writer import PATIENCE, TIMEOUT, ElasticContents, latest_states
from bookwheel_stores.search.ports import IndexUnavailableError, RangeSum, RejectedBook, SearchError

_CLEANUP_DELAY_SECONDS = 0.2
"""Running searches of the old index end in this time. A later search is retried, see `ElasticSearcher`."""
_PAUSE_RATIO = 2.0
"""The pause after a request, as a multiple of its duration. Without pauses, searches are slow during a build."""
_RETRY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class ElasticIndexBuild:
    """See `IndexBuild`. Only one build may run, because it deletes the indices of earlier builds that were killed."""

    def __init__(self, address: ElasticAddress, *, timeout: float = TIMEOUT, patience: float = PATIENCE) -> None:
        """`timeout` is for one request, `patience` for retries without progress, in seconds."""
        self._address = address
        self._patience = patience
        self._client = connect(address, timeout=timeout)
        self._indices = Indices(self._client, address.alias)
        self._is_published: bool | None = False  # None: the server did not confirm the switch
        try:
            with translate_errors(address.server):
                # created first, because the server executes it after late requests of an earlier build
                self._name = self._indices.create()
                self._delete_unused()
        except BaseException:
            self._client.close()
            raise
        self._sender = BulkSender(
            self._client, build_alias(self._name), patience, concurrency=1, pause_ratio=_PAUSE_RATIO
        )
        self._contents = ElasticContents(self._client, self._name)

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        """Does not commit before `publish`, because the index has no readers."""
        rejected = self._sender.send(latest_states(books))
        if commit and self._is_published:
            self._refresh()
        return rejected

    def count(self) -> int:
        self._refresh()
        with translate_errors(self._address.server):
            return self._contents.count()

    def range_sums(self) -> dict[int, RangeSum]:
        self._refresh()
        with translate_errors(self._address.server):
            return self._contents.range_sums()

    def digests(self, numbers: range) -> dict[int, int]:
        self._refresh()
        with translate_errors(self._address.server):
            return self._contents.digests(numbers)

    def lock(self) -> None:
        """Other writers continue: Elasticsearch allows several."""

    def publish(self) -> None:
        """Repeats the switch until the server confirms it, because a request that timed out may have been executed."""
        self._refresh()
        deadline = time.monotonic() + self._patience
        self._is_published = None
        while self._is_published is None:
            try:
                with translate_errors(self._address.server):
                    self._indices.swap(self._name)
                self._is_published = True
            except IndexUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)

    def close(self) -> None:
        """Only logs failures, because the next build deletes every index that does not serve."""
        try:
            with translate_errors(self._address.server):
                if self._is_published:
                    time.sleep(_CLEANUP_DELAY_SECONDS)
                    self._delete_unused()
                elif self._is_published is False:  # an index that may serve is not deleted
                    self._indices.delete(self._name)
        except SearchError as error:
            logger.warning("index cleanup failed", extra={"index": self._name, "error": str(error)})
        finally:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _delete_unused(self) -> None:
        used = {self._name, *self._indices.list_serving()}
        for name in self._indices.list_all():
            if name not in used:
                self._indices.delete(name)

    def _refresh(self) -> None:
        with translate_errors(self._address.server):
            self._client.indices.refresh(index=self._name)
