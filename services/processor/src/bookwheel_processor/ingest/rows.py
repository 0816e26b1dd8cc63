"""Converts cleaned offers and merged books to rows of the records, and back."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from bookwheel_contracts import BOOK_DETAILS, LATER_DETAILS, BookDetails, Money
from bookwheel_stores.records.catalog.book_content import detail_columns
from bookwheel_stores.records.catalog.writer import OfferKey
from bookwheel_stores.records.values import money, to_units

from bookwheel_processor.cleaning.identity import book_id
from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest.merge import MergedBook

_SHOWN = ("url", "price", "currency", "stock", "in_stock")
"""The offer columns that a book shows."""
_OBSERVED = ("price", "currency", "stock", "in_stock")
BOOK_COLUMNS = (*BOOK_DETAILS, "price", "currency", "stock", "in_stock")
"""A book's content, without its identity and history."""
_FIELD_BY_COLUMN = {"currency": "price"}  # columns that are part of another field


def offer_columns(offer: CleanOffer) -> dict[str, Any]:
    """Return the columns of an offer's content and their fingerprint: all except identity, book and sightings."""
    price, currency = _price_columns(offer.price)
    # Offers without a later field keep the fingerprint that versions without this field stored.
    null_fields = {name for name in LATER_DETAILS if getattr(offer.details, name) is None}
    content = offer.details.model_dump_json(exclude=null_fields)
    fingerprint_text = f"{offer.url}\n{price}\n{currency}\n{offer.stock}\n{offer.in_stock}\n{content}"
    return {
        "url": offer.url,
        "price": price,
        "currency": currency,
        "stock": offer.stock,
        "in_stock": offer.in_stock,
        "content": content,
        "fingerprint": blake2b(fingerprint_text.encode(), digest_size=16).hexdigest(),
    }


def build_offer(row: Mapping[str, Any]) -> CleanOffer:
    details = BookDetails.model_validate_json(row["content"])
    return CleanOffer(
        source=row["source"],
        source_key=row["source_key"],
        book_id=book_id(row["source"], row["source_key"], details.isbn13),
        url=row["url"],
        price=money(row["price"], row["currency"]),
        stock=row["stock"],
        in_stock=row["in_stock"],
        details=details,
    )


def copy_offer_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of `offer_columns` from an offer's row."""
    return {name: row[name] for name in (*_SHOWN, "content", "fingerprint")}


def shown_offer(offer: CleanOffer, columns: Mapping[str, Any], first_seen: int) -> dict[str, Any]:
    """Return a row with the columns of an offer that its book shows."""
    return {**columns, "source": offer.source, "source_key": offer.source_key, "first_seen": first_seen}


def book_columns(merged: MergedBook) -> dict[str, Any]:
    price, currency = _price_columns(merged.price)
    return detail_columns(merged.details) | {
        "price": price,
        "currency": currency,
        "stock": merged.stock,
        "in_stock": merged.in_stock,
    }


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the book's fields whose columns in `after` differ from those in `before`."""
    return {_FIELD_BY_COLUMN.get(name, name) for name, value in after.items() if before[name] != value}


def shown_columns_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the columns that a book shows differ."""
    return any(before[name] != after[name] for name in _SHOWN)


def observed_columns_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the columns that observations record differ."""
    return any(before[name] != after[name] for name in _OBSERVED)


def build_observation(offer_key: OfferKey, observed_at: int, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new observation. Its `offer_key` is replaced by the offer's number when it is written."""
    return {"offer_key": offer_key, "observed_at": observed_at} | {name: columns[name] for name in _OBSERVED}


def _price_columns(price: Money | None) -> tuple[int | None, str | None]:
    return (to_units(price.amount), price.currency) if price else (None, None)
