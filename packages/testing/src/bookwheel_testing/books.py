"""Books as the change feed would carry them, for tests that need no records."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bookwheel_contracts import Book, BookContent, BookState, Money, OfferContent, PredictionRecord
from bookwheel_demo_shop.catalog import Catalog, Listing

_OPENED = datetime(2026, 1, 1, tzinfo=UTC)


def state_of(book: Book, *, removed: bool = False) -> BookState:
    """The book on its way into an index or a lake."""
    shown = {name: getattr(book, name) for name in BookContent.model_fields if name != "offers"}
    offers = [offer.model_dump(exclude={"source_key", "last_seen"}) for offer in book.offers]
    content = BookContent(**shown, offers=tuple(offers)).model_dump_json().encode()
    return BookState(book.number, book.id, book.revision, removed, content)


def prediction(**facts: Any) -> PredictionRecord:
    """As ML serving tells of one, with these facts in place of the usual."""
    usual: dict[str, Any] = {
        "prediction_id": "p-1",
        "book_id": None,
        "predicted_at": _OPENED,
        "model_name": "rating",
        "model_version": "1",
        "rating": 3.5,
        "low": 3.0,
        "high": 4.0,
        "features": (1.0,),
        "subject": "me",
        "traceparent": "",
    }
    return PredictionRecord(**usual | facts)


def demo_states(count: int, *, seed: int = 1588) -> list[BookState]:
    """Books of the demo shop as the feed carries them once they are taken in: about 1 KB each, numbered from 1."""
    listings = Catalog(size=max(count, 1), seed=seed).listings(0, 0, count)
    return [_demo_state(number, listing) for number, listing in enumerate(listings, start=1)]


def _demo_state(number: int, listing: Listing) -> BookState:
    shown = listing.book
    seen = _OPENED + timedelta(seconds=number % 5_000)
    price = Money(amount=Decimal(listing.price), currency="EUR" if number % 10 == 0 else "GBP")
    source = "demo" if number % 3 else "other"
    offer = OfferContent(
        source=source,
        url=f"http://{source}.example/catalogue/{shown.slug}_{number}/index.html",
        price=price,
        stock=listing.stock,
        in_stock=listing.stock > 0,
        first_seen=seen,
    )
    content = BookContent(
        id=f"isbn:{shown.isbn}" if shown.isbn else f"{source}:{shown.upc}",
        title=shown.title,
        authors=shown.authors,
        isbn13=shown.isbn,
        category=shown.category.name,
        description=shown.description,
        price=price,
        rating=None if number % 7 == 0 else float(listing.rating),
        rating_count=shown.review_count,
        stock=listing.stock,
        in_stock=listing.stock > 0,
        offers=(offer,),
        first_seen=seen,
        last_changed=seen,
        revision=1,
    )
    return BookState(number, content.id, 1, False, content.model_dump_json().encode())
