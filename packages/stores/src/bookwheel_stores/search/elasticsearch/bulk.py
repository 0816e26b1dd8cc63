"""Sends documents in bulk and accounts for each: written, older than what is there, or refused for a reason."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from bookwheel_contracts import BookState
from elasticsearch import ApiError, Elasticsearch

from bookwheel_stores.search.elasticsearch.errors import NO_ANSWER, is_passing, is_refusal, reason_of
from bookwheel_stores.search.elasticsearch.mapping import build_document
from bookwheel_stores.search.index_writer import IndexRejectedError, IndexUnavailableError, RejectedBook

_MAX_BYTES = 4_000_000
_MAX_ITEMS = 500
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_CONFLICT = 409
_UNREADABLE, _TOO_LARGE = 400, 413


class _Item(NamedTuple):
    """A book's two lines of a bulk request."""

    book: BookState
    lines: Any  # bytes, which the client sends as they are


@dataclass(slots=True)
class BulkSender:
    """Sends until every book is accounted for, or `patience` seconds have passed without any. `index` is an alias.

    A book's revision is its document's external version, so what arrives late or twice changes nothing. `rest` is how
    long it pauses after a request, as a share of the time that the request took, so that others have their turn.
    """

    client: Elasticsearch
    index: str
    patience: float
    at_once: int = 2
    rest: float = 0.0
    sleep: Callable[[float], None] = time.sleep

    def send(self, books: Sequence[BookState]) -> list[RejectedBook]:
        """Returns the books that can never be written as they are. Raises IndexAway, IndexRefused.

        `at_once` requests at a time, while the next is made: Elasticsearch works on each with one thread.
        """
        rejected: list[RejectedBook] = []
        batches = _batches(books, rejected)
        if len(books) <= _MAX_ITEMS:
            for items in batches:
                self._insist(items, rejected)
            return rejected
        refused: list[RejectedBook] = []
        with ThreadPoolExecutor(self.at_once, "bulk") as senders:
            sent: deque[Future[None]] = deque()
            for items in batches:
                if len(sent) == self.at_once:
                    sent.popleft().result()
                sent.append(senders.submit(self._insist, items, refused))
            while sent:
                sent.popleft().result()
        return rejected + refused

    def _insist(self, items: list[_Item], rejected: list[RejectedBook]) -> None:
        pause, deadline = _FIRST_PAUSE, time.monotonic() + self.patience
        while items:
            began = time.monotonic()
            waiting, reason = self._attempt(items, rejected)
            if self.rest:
                self.sleep(self.rest * (time.monotonic() - began))
            if len(waiting) < len(items):
                pause, deadline = _FIRST_PAUSE, time.monotonic() + self.patience
            elif time.monotonic() > deadline:
                raise IndexUnavailableError(
                    f"Elasticsearch took none of {len(items)} books in {self.patience:.0f} s: {reason}"
                )
            if waiting:
                self.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads writers, hides nothing
                pause = min(pause * 2, _LONGEST_PAUSE)
            items = waiting

    def _attempt(self, items: list[_Item], rejected: list[RejectedBook]) -> tuple[list[_Item], str]:
        """What has to be sent again, and why."""
        try:
            answer = self.client.bulk(
                operations=[item.lines for item in items],
                index=self.index,
                require_alias=True,
                filter_path="errors,items.*.status,items.*.error",
            ).body
        except NO_ANSWER as error:
            return items, error.message  # written or not: the next attempt finds out
        except ApiError as error:
            return self._whole_request(items, error, rejected), f"{error.status_code} {error.error}"
        if not answer["errors"]:
            return [], ""
        return self._outcomes(items, answer["items"], rejected)

    def _whole_request(self, items: list[_Item], error: ApiError, rejected: list[RejectedBook]) -> list[_Item]:
        """A request that is too large, or that can't be read because of one of its lines, is sent in halves."""
        status, kind = error.status_code, error.error
        if is_passing(status, kind):
            return items
        if status in {_UNREADABLE, _TOO_LARGE}:
            if len(items) == 1:
                rejected.append(_rejected(items[0], f"{status} {kind}"))
                return []
            middle = len(items) // 2
            self._insist(items[:middle], rejected)
            self._insist(items[middle:], rejected)
            return []
        raise IndexRejectedError(f"Elasticsearch refuses to write to {self.index}: {status} {kind}") from error

    def _outcomes(
        self, items: list[_Item], answers: list[dict[str, Any]], rejected: list[RejectedBook]
    ) -> tuple[list[_Item], str]:
        waiting: list[_Item] = []
        reason = ""
        for item, answer in zip(items, answers, strict=True):
            (outcome,) = answer.values()
            status, fault = int(outcome["status"]), outcome.get("error") or {}
            if status < 300 or status == _CONFLICT:
                continue
            kind = str(fault.get("type"))
            if is_passing(status, kind):
                waiting.append(item)
                reason = f"{status} {reason_of(fault)}"
            elif is_refusal(status, kind):
                raise IndexRejectedError(f"Elasticsearch refuses to write to {self.index}: {status} {reason_of(fault)}")
            else:
                rejected.append(_rejected(item, f"{status} {reason_of(fault)}"))
        return waiting, reason


def _batches(books: Sequence[BookState], rejected: list[RejectedBook]) -> Iterator[list[_Item]]:
    items: list[_Item] = []
    size = 0
    for book in books:
        try:
            lines = _lines(book)
        except (ValueError, KeyError, TypeError) as error:
            rejected.append(RejectedBook(book, f"its content is not that of a book: {type(error).__name__}: {error}"))
            continue
        if items and (len(items) >= _MAX_ITEMS or size + len(lines) > _MAX_BYTES):
            yield items
            items, size = [], 0
        items.append(_Item(book, lines))
        size += len(lines)
    if items:
        yield items


def _lines(book: BookState) -> bytes:
    action = b'{"index":{"_id":"%d","version":%d,"version_type":"external"}}\n' % (book.number, book.revision)
    return action + orjson.dumps(build_document(book))


def _rejected(item: _Item, reason: str) -> RejectedBook:
    return RejectedBook(item.book, reason[:1000])
