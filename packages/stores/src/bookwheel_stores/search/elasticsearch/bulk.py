"""Send documents in bulk until each is written, superseded by a newer revision, or rejected."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
from bookwheel_contracts import BookState
from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk

from bookwheel_stores.search.elasticsearch.client import CONNECTION_ERRORS, format_reason, is_rejection, is_transient
from bookwheel_stores.search.elasticsearch.mapping import build_document
from bookwheel_stores.search.ports import IndexRejectedError, IndexUnavailableError, RejectedBook

_MAX_BYTES = 4_000_000
_MAX_ITEMS = 500
_MIN_DELAY, _MAX_DELAY = 0.1, 5.0
_CONFLICT = 409
_INVALID_REQUEST = frozenset({400, 413})


_Item = tuple[BookState, dict[str, Any]]
"""A book and its action for `streaming_bulk`."""


@dataclass(slots=True)
class BulkSender:
    """Sends books to the index behind an alias. Retries until `patience` seconds pass without progress.

    The revision of a book is the external version of its document, so late and repeated writes have no effect.
    `pause_ratio` is the pause after a request as a multiple of its duration, which leaves capacity for searches.
    """

    client: Elasticsearch
    alias: str
    patience: float
    concurrency: int = 2
    pause_ratio: float = 0.0
    sleep: Callable[[float], None] = time.sleep

    def send(self, books: Sequence[BookState]) -> list[RejectedBook]:
        """Return the rejected books. Raises IndexUnavailableError and IndexRejectedError.

        Builds the next documents while up to `concurrency` requests run. Elasticsearch uses one thread per request.
        """
        rejected: list[RejectedBook] = []
        with ThreadPoolExecutor(self.concurrency, "bulk") as senders:
            running: deque[Future[None]] = deque()
            for items in _batches(books, rejected):
                if len(running) == self.concurrency:
                    running.popleft().result()
                running.append(senders.submit(self._send_all, items, rejected))
            for request in running:
                request.result()
        return rejected

    def _send_all(self, items: Sequence[_Item], rejected: list[RejectedBook]) -> None:
        delay, deadline = _MIN_DELAY, time.monotonic() + self.patience
        while items:
            started = time.monotonic()
            remaining, reason = self._send_once(items, rejected)
            if self.pause_ratio:
                self.sleep(self.pause_ratio * (time.monotonic() - started))
            if len(remaining) < len(items):
                delay, deadline = _MIN_DELAY, time.monotonic() + self.patience
            elif time.monotonic() > deadline:
                raise IndexUnavailableError(
                    f"Elasticsearch is unavailable: it accepted none of {len(items)} books in {self.patience:.0f} s: "
                    f"{reason}"
                )
            if remaining:
                self.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                delay = min(delay * 2, _MAX_DELAY)
            items = remaining

    def _send_once(self, items: Sequence[_Item], rejected: list[RejectedBook]) -> tuple[list[_Item], str]:
        """Return the items to retry, and the reason."""
        remaining: list[_Item] = []
        invalid: list[_Item] = []
        reason = ""
        result_count = 0
        results = streaming_bulk(
            self.client,
            (action for _, action in items),
            chunk_size=_MAX_ITEMS,
            max_chunk_bytes=_MAX_BYTES,
            raise_on_error=False,
            raise_on_exception=False,
            index=self.alias,
            require_alias=True,
            filter_path="items.*.status,items.*.error",
        )
        try:
            for item, (is_written, result) in zip(items, results, strict=True):
                result_count += 1
                item_result = result["index"]
                status = int(item_result["status"])
                if is_written or status == _CONFLICT:
                    continue
                request_error = item_result.get("exception")
                error_type = request_error.error if request_error else str(item_result["error"]["type"])
                detail = f"{status} {error_type if request_error else format_reason(item_result['error'])}"
                if is_transient(status, error_type):
                    remaining.append(item)
                    reason = detail
                elif is_rejection(status, error_type) or (request_error and status not in _INVALID_REQUEST):
                    raise IndexRejectedError(f"Elasticsearch rejects every write to {self.alias}: {detail}")
                elif request_error and len(items) > 1:
                    invalid.append(item)
                else:
                    rejected.append(RejectedBook(item[0], detail[:1000]))
        except CONNECTION_ERRORS as error:
            # The request may have been executed. Then its repetition conflicts, which is a success.
            remaining += items[result_count:]
            reason = error.message
        # An invalid request is too large or contains an unreadable document, which is isolated by halving.
        middle = len(invalid) // 2
        for half in (invalid[:middle], invalid[middle:]):
            self._send_all(half, rejected)
        return remaining, reason


def _batches(books: Sequence[BookState], rejected: list[RejectedBook]) -> Iterator[list[_Item]]:
    items: list[_Item] = []
    for book in books:
        try:
            document = orjson.dumps(build_document(book))
        except (ValueError, KeyError, TypeError) as error:
            rejected.append(RejectedBook(book, f"the content is invalid: {type(error).__name__}: {error}"))
            continue
        version = {"version": book.revision, "version_type": "external"}
        items.append((book, {"_id": str(book.number), **version, "_source": document}))
        if len(items) == _MAX_ITEMS:
            yield items
            items = []
    if items:
        yield items
