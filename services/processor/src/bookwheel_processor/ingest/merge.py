"""Merges the offers of a book. The result does not depend on their order."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from bookwheel_contracts import BOOK_DETAILS, BookDetails, Money

from bookwheel_processor.cleaning.offers import CleanOffer


class MergedBook(NamedTuple):
    """The content of a book, apart from its identity and history."""

    details: BookDetails
    price: Money | None
    stock: int | None
    in_stock: bool


_COMPLETENESS = [name for name in BOOK_DETAILS if name not in {"title", "isbn13", "rating_count"}]
"""The offer that fills most of these fields is preferred."""
_EMPTY = (None, ())


def merge(offers: Sequence[CleanOffer]) -> MergedBook:
    """Merge offers field by field. Each field has the first value in the order of completeness, source and key.

    The rating is the one of the offer with the most ratings. The price is the lowest price in stock. Raises ValueError
    if there are no offers.
    """
    if not offers:
        raise ValueError("a book has at least one offer")
    if len(offers) == 1:
        [offer] = offers
        return MergedBook(_drop_count_without_rating(offer.details), offer.price, offer.stock, offer.in_stock)
    ranked = sorted(offers, key=_preference)
    stocks = [offer.stock for offer in offers if offer.stock is not None]
    return MergedBook(
        details=_merge_details([offer.details for offer in ranked]),
        price=_lowest_price(ranked),
        stock=sum(stocks) if stocks else None,
        in_stock=any(offer.in_stock for offer in offers),
    )


def _merge_details(ranked: Sequence[BookDetails]) -> BookDetails:
    values: dict[str, Any] = {}
    for name, kind in BOOK_DETAILS.items():
        filled = (value for details in ranked if (value := getattr(details, name)) not in _EMPTY)
        values[name] = next(filled, () if kind is tuple else None)
    rated = [details for details in ranked if details.rating is not None]
    most_rated = max(rated, key=lambda details: details.rating_count or 0, default=None)
    values["rating"] = most_rated.rating if most_rated else None
    values["rating_count"] = most_rated.rating_count if most_rated else None
    return BookDetails.model_construct(**values)


def _drop_count_without_rating(details: BookDetails) -> BookDetails:
    """Drop the number of ratings if there is no rating."""
    if details.rating is not None or details.rating_count is None:
        return details
    return details.model_copy(update={"rating_count": None})


def _preference(offer: CleanOffer) -> tuple[int, str, str]:
    filled = sum(getattr(offer.details, name) not in _EMPTY for name in _COMPLETENESS)
    return -filled, offer.source, offer.source_key


def _lowest_price(offers: Sequence[CleanOffer]) -> Money | None:
    """Return the lowest price in stock, or of all offers if none is in stock, in the most frequent currency."""
    prices = [offer.price for offer in offers if offer.price and offer.in_stock]
    prices = prices or [offer.price for offer in offers if offer.price]
    if not prices:
        return None
    counts = Counter(price.currency for price in prices)
    currency = min(counts, key=lambda code: (-counts[code], code))
    return min((price for price in prices if price.currency == currency), key=lambda price: price.amount)
