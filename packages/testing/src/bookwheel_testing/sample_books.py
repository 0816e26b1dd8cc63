"""Books of the change feed, for tests without records."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bookwheel_contracts import Book, BookContent, BookState, Money, Offer, OfferContent, PredictionRecord
from bookwheel_demo_shop.catalog import Catalog, Listing

_FIRST_SEEN = datetime(2026, 1, 1, tzinfo=UTC)


def state_of(book: Book, *, removed: bool = False) -> BookState:
    """Returns the book as an entry of the change feed."""
    fields = {name: getattr(book, name) for name in BookContent.model_fields if name != "offers"}
    offers = [offer.model_dump(exclude={"source_key", "last_seen"}) for offer in book.offers]
    content = BookContent(**fields, offers=tuple(offers)).model_dump_json().encode()
    return BookState(book.number, book.id, book.revision, removed, content)


def sample_book(number: int, **fields: Any) -> Book:
    """Returns a book of the source `demo`. `fields` replace defaults."""
    seen = {"first_seen": _FIRST_SEEN, "last_seen": _FIRST_SEEN, "last_changed": _FIRST_SEEN}
    defaults = {"id": f"demo:{number}", "number": number, "title": "The Moon", "revision": 1, **seen}
    return Book(**defaults | fields)


def sample_offer(number: int, *, source: str) -> Offer:
    """Returns an offer without price and stock."""
    seen = {"first_seen": _FIRST_SEEN, "last_seen": _FIRST_SEEN}
    url = f"http://shop/{number}"
    return Offer(source=source, source_key=str(number), url=url, price=None, stock=None, in_stock=False, **seen)


def sample_state(number: int, *, removed: bool = False, **fields: Any) -> BookState:
    """Returns a book of the source `demo` as an entry of the change feed."""
    return state_of(sample_book(number, **fields), removed=removed)


def prediction(**fields: Any) -> PredictionRecord:
    """Returns a prediction as ML serving publishes it. `fields` replace defaults."""
    defaults: dict[str, Any] = {
        "prediction_id": "p-1",
        "book_id": None,
        "predicted_at": _FIRST_SEEN,
        "model_name": "rating",
        "model_version": "1",
        "rating": 3.5,
        "low": 3.0,
        "high": 4.0,
        "features": (1.0,),
        "subject": "me",
        "traceparent": "",
    }
    return PredictionRecord(**defaults | fields)


def demo_states(count: int, *, seed: int = 1588) -> list[BookState]:
    """Returns books of the demo shop as entries of the feed: about 1 KB each, numbered from 1."""
    listings = Catalog(size=max(count, 1), seed=seed).listings(0, 0, count)
    return [_demo_state(number, listing) for number, listing in enumerate(listings, start=1)]


def _demo_state(number: int, listing: Listing) -> BookState:
    shop_book = listing.book
    seen = _FIRST_SEEN + timedelta(seconds=number % 5_000)
    price = Money(amount=Decimal(listing.price), currency="EUR" if number % 10 == 0 else "GBP")
    source = "demo" if number % 3 else "other"
    offer = OfferContent(
        source=source,
        url=f"http://{source}.example/catalogue/{shop_book.slug}_{number}/index.html",
        price=price,
        stock=listing.stock,
        in_stock=listing.stock > 0,
        first_seen=seen,
    )
    content = BookContent(
        id=f"isbn:{shop_book.isbn}" if shop_book.isbn else f"{source}:{shop_book.upc}",
        title=shop_book.title,
        authors=shop_book.authors,
        isbn13=shop_book.isbn,
        category=shop_book.category.name,
        description=shop_book.description,
        price=price,
        rating=None if number % 7 == 0 else float(listing.rating),
        rating_count=shop_book.review_count,
        stock=listing.stock,
        in_stock=listing.stock > 0,
        offers=(offer,),
        first_seen=seen,
        last_changed=seen,
        revision=1,
    )
    return BookState(number, content.id, 1, False, content.model_dump_json().encode())
