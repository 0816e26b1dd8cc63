"""The JSON of a book as lists show it, made once when the book is indexed and sent as it is ever after."""

from bookwheel_contracts import Book


def list_item(book: Book) -> bytes:
    """UTF-8 JSON of a book's public fields, without `last_seen` of the book and its offers.

    `last_seen` moves with every crawl though nothing changed: only a book's own page, read from the records, has it.
    """
    hidden_in_offers = {"__all__": {"source_key": True, "first_seen": True, "last_seen": True}}
    return book.model_dump_json(exclude={"number": True, "last_seen": True, "offers": hidden_in_offers}).encode()
