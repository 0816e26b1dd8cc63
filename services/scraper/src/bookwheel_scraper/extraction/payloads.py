"""Builds the payload of a book that was read from a page."""

from bookwheel_contracts import Money
from bookwheel_extraction.pages import ExtractedBook

from bookwheel_scraper.publishing.item_messages import Payload

_TEXT_FIELDS = ("title", "subtitle", "description", "isbn", "image_url")


def build_payload(book: ExtractedBook) -> Payload:
    """Build a payload with the keys of `RAW_FIELDS`. Fields without a value are left out."""
    payload: Payload = {"key": book.key, **{name: book.value(name) for name in _TEXT_FIELDS}}
    payload["authors"] = [
        contributor.name for contributor in book.value("contributors") or () if contributor.role == "author"
    ]
    payload["category"] = list(book.value("categories") or ())
    language = book.value("language")
    payload["language"] = language.code if language is not None else None
    price: Money | None = book.value("price")
    if price is not None:
        payload["price"], payload["currency"] = str(price.amount), price.currency
    availability = book.value("availability")
    payload["availability"] = availability.value if availability is not None else None
    for name in ("stock", "rating", "rating_count"):
        value = book.value(name)
        payload[name] = str(value) if value is not None else None
    return {name: value for name, value in payload.items() if value}
