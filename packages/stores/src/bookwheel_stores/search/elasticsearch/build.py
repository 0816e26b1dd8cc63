"""Build a new Elasticsearch index and switch the alias to it."""

import logging
import time
from collections.abc import Sequence

from bookwheel_contracts import BookState

from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.elasticsearch.bulk import BulkSender
from bookwheel_stores.search.elasticsearch.client import translate_errors
from bookwheel_stores.search.elasticsearch.indices import build_alias
from bookwheel_stores.search.elasticsearch.writer import PATIENCE_SECONDS, TIMEOUT_SECONDS, ElasticIndex
from bookwheel_stores.search.ports import IndexBuild, IndexUnavailableError, RangeSum, RejectedBook, SearchError

_CLEANUP_DELAY_SECONDS = 0.2
"""Running searches of the old index end in this time. A later search is retried, see `ElasticSearcher`."""
_PAUSE_RATIO = 2.0
"""The pause after a request, as a multiple of its duration. Without pauses, searches are slow during a build."""
_RETRY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class ElasticIndexBuild(ElasticIndex, IndexBuild):
    """See `IndexBuild`. Only one build may run, because it deletes the indices of earlier builds that were killed."""

    def __init__(
        self, address: ElasticAddress, *, timeout: float = TIMEOUT_SECONDS, patience: float = PATIENCE_SECONDS
    ) -> None:
        """`timeout` is for one request, `patience` for retries without progress, in seconds."""
        super().__init__(address, timeout=timeout)
        self._patience = patience
        self._is_published: bool | None = False  # None: the server did not confirm the switch
        try:
            with translate_errors(self._server):
                # The server executes late requests of a killed build first, so the deletion includes their index.
                self._name = self._indices.create()
                self._delete_unused()
        except BaseException:
            self._client.close()
            raise
        self._sender = BulkSender(
            self._client, build_alias(self._name), patience, concurrency=1, pause_ratio=_PAUSE_RATIO
        )

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        """Does not commit before `publish`, because the index has no readers."""
        return super().apply(books, commit=commit and bool(self._is_published))

    def count(self) -> int:
        self._refresh()
        return super().count()

    def range_sums(self) -> dict[int, RangeSum]:
        self._refresh()
        return super().range_sums()

    def digests(self, numbers: range) -> dict[int, int]:
        self._refresh()
        return super().digests(numbers)

    def lock(self) -> None:
        """Other writers continue: Elasticsearch allows several."""

    def publish(self) -> None:
        """Repeats the switch until the server confirms it, because a request that timed out may have been executed."""
        self._refresh()
        deadline = time.monotonic() + self._patience
        self._is_published = None
        while self._is_published is None:
            try:
                with translate_errors(self._server):
                    self._indices.swap(self._name)
                self._is_published = True
            except IndexUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)

    def close(self) -> None:
        """Only logs failures, because the next build deletes every index that does not serve."""
        try:
            with translate_errors(self._server):
                if self._is_published:
                    time.sleep(_CLEANUP_DELAY_SECONDS)
                    self._delete_unused()
                elif self._is_published is False:  # an index that may serve is not deleted
                    self._indices.delete(self._name)
        except SearchError as error:
            logger.warning("index cleanup failed", extra={"index": self._name, "error": str(error)})
        finally:
            self._client.close()

    def _delete_unused(self) -> None:
        used = {self._name, *self._indices.list_serving()}
        for name in self._indices.list_all():
            if name not in used:
                self._indices.delete(name)
