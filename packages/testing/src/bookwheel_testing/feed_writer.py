"""Writes books and their changes to the records, as the processor does, in one transaction per change."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bookwheel_contracts import BOOK_DETAILS, ChangeKind
from bookwheel_stores.records.catalog.book_content import render_content
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.values import to_millis
from sqlalchemy import Engine

START = to_millis(datetime(2026, 1, 30, 12, 0, tzinfo=UTC))


class FeedWriter:
    """Adds, modifies and removes books."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._books: dict[str, dict[str, Any]] = {}

    def add(self, *keys: str, source: str = "demo", **fields: Any) -> int:
        """Adds books `<source>:<key>` with one offer each. Returns the feed's head."""
        books = [_book(source, key, fields) for key in keys]
        with self._engine.begin() as connection:
            writer = CatalogWriter(connection)
            writer.lock()
            numbers = writer.add_books([{**book} for book in books])
            for book in books:
                self._books[book["book_id"]] = {**book, "number": numbers[book["book_id"]]}
            writer.add_offers([self._offer(book["book_id"]) for book in books])
            return writer.add_changes([self._change(book["book_id"], ChangeKind.ADDED, ()) for book in books])

    def modify(self, book_id: str, **fields: Any) -> int:
        return self._write_revision(book_id, ChangeKind.MODIFIED, fields)

    def remove(self, book_id: str) -> int:
        return self._write_revision(book_id, ChangeKind.REMOVED, {"removed_at": START})

    def _write_revision(self, book_id: str, change_kind: ChangeKind, fields: dict[str, Any]) -> int:
        book = self._books[book_id]
        book.update(fields, revision=book["revision"] + 1)
        with self._engine.begin() as connection:
            writer = CatalogWriter(connection)
            writer.lock()
            writer.update_books([book])
            return writer.add_changes(
                [self._change(book_id, change_kind, sorted(fields) if change_kind == "modified" else ())]
            )

    def _offer(self, book_id: str) -> dict[str, Any]:
        book = self._books[book_id]
        source, _, key = book_id.partition(":")
        return {
            **{name: book[name] for name in ("price", "currency", "stock", "in_stock")},
            "book_number": book["number"],
            "source": source,
            "source_key": key,
            "url": f"http://shop.example/{key}",
            "content": "{}",
            "fingerprint": "",
            "first_seen": START,
            "last_seen": START,
            "last_run": "run",
            "last_item": 1,
        }

    def _change(self, book_id: str, change_kind: ChangeKind, fields: Sequence[str]) -> dict[str, Any]:
        book = self._books[book_id]
        return {
            "book_number": book["number"],
            "revision": book["revision"],
            "kind": change_kind.value,
            "fields": json.dumps(list(fields)),
            "changed_at": START,
            "run_id": "run",
            "content": render_content(book, [self._offer(book_id)]),
        }


def _book(source: str, key: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        **dict.fromkeys(BOOK_DETAILS),
        "removed_at": None,
        "book_id": f"{source}:{key}",
        "title": f"Book {key}",
        "authors": "[]",
        "category": "Science",
        "price": 105_000,
        "currency": "GBP",
        "stock": 3,
        "in_stock": True,
        "first_seen": START,
        "last_changed": START,
        "revision": 1,
        **fields,
    }
