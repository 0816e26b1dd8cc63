"""The JSON of a book as lists show it, made once when the book is indexed and sent as it is ever after."""

from typing import Final

from bookwheel_contracts import Book
from pydantic.main import IncEx

_HIDDEN_IN_LISTS: Final[IncEx] = {
    "number": True,
    "last_seen": True,
    "offers": {"__all__": {"source_key", "first_seen", "last_seen"}},
}
"""`last_seen` moves with every crawl though nothing changed: only a book's own page, read from the records, has it."""


def list_item(book: Book) -> bytes:
    """UTF-8 JSON of the public fields of a book without those that move without a change."""
    return book.model_dump_json(exclude=_HIDDEN_IN_LISTS).encode()
