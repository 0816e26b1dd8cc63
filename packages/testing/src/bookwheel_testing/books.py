"""Books as the change feed would carry them, for tests that need no records."""

from bookwheel_contracts import Book, BookContent, BookState


def state_of(book: Book, *, removed: bool = False) -> BookState:
    """The book on its way into an index or a lake."""
    shown = {name: getattr(book, name) for name in BookContent.model_fields if name != "offers"}
    offers = [offer.model_dump(exclude={"source_key", "last_seen"}) for offer in book.offers]
    content = BookContent(**shown, offers=tuple(offers)).model_dump_json().encode()
    return BookState(book.number, book.id, book.revision, removed, content)
