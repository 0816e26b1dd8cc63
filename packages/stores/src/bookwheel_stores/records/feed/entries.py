"""Reads changes with the content of their books, for API clients, event streams and webhooks."""

from dataclasses import dataclass
from typing import Any

import orjson
from bookwheel_contracts import Change
from sqlalchemy import Engine, select

from bookwheel_stores.records.catalog.book_content import add_missing_fields
from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.feed.change_feed import change_from_row, feed_head
from bookwheel_stores.records.tables import book, change


@dataclass(slots=True)
class FeedEntry:
    """A change and the JSON of its `BookContent`; None in changes that earlier releases wrote."""

    change: Change
    content: bytes | None
    _book: dict[str, Any] | None = None

    @property
    def sequence(self) -> int:
        return self.change.sequence

    @property
    def size(self) -> int:
        """The approximate size of the JSON in bytes."""
        return len(self.content or b"") + 200

    def to_json(self) -> bytes:
        """Renders the JSON of a `ChangeWithBook` on one line."""
        return b'%b,"book":%b}' % (self.change.model_dump_json().encode()[:-1], self.content or b"null")

    def book(self) -> dict[str, Any] | None:
        """Returns the parsed content and caches it."""
        if self._book is None and self.content is not None:
            self._book = orjson.loads(self.content)
        return self._book


class FeedReader:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def head(self) -> int:
        """Returns the sequence of the last change; 0 before the first change."""
        with read_connection(self._engine) as connection:
            return feed_head(connection)

    def read(self, *, after: int, limit: int) -> list[FeedEntry]:
        """Returns up to `limit` changes after the sequence `after`, oldest first."""
        query = (
            select(change, book.c.book_id)
            .join(book, book.c.number == change.c.book_number)
            .where(change.c.sequence > after)
            .order_by(change.c.sequence)
            .limit(limit)
        )
        with read_connection(self._engine) as connection:
            return [
                FeedEntry(
                    change_from_row(row), None if row.content is None else add_missing_fields(row.content).encode()
                )
                for row in connection.execute(query)
            ]
