"""Offers are merged to one book. Their order does not change it."""

from decimal import Decimal

import pytest
from bookwheel_contracts import BookDetails, Money
from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest.merge import merge
from hypothesis import given
from hypothesis import strategies as st

_maybe_line = st.none() | st.sampled_from(["a", "b", "c"])
_details = st.builds(
    BookDetails,
    title=st.sampled_from(["A", "B", "C"]),
    subtitle=_maybe_line,
    authors=st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple),
    isbn13=st.just(None),
    category=_maybe_line,
    description=_maybe_line,
    language=_maybe_line,
    rating=st.none() | st.sampled_from([1.0, 2.5, 5.0]),
    rating_count=st.none() | st.integers(0, 3),
    image_url=_maybe_line,
)
_offers = st.builds(
    CleanOffer,
    source=st.sampled_from(["shop", "rival"]),
    source_key=st.sampled_from(["1", "2", "3"]),
    book_id=st.just("isbn:1"),
    url=st.just("http://shop.example/"),
    price=st.none()
    | st.builds(Money, amount=st.sampled_from([Decimal(1), Decimal("2.5")]), currency=st.sampled_from(["GBP", "EUR"])),
    stock=st.none() | st.integers(0, 3),
    in_stock=st.booleans(),
    details=_details,
)
_books = st.lists(_offers, min_size=1, max_size=6, unique_by=lambda offer: (offer.source, offer.source_key))


@given(_books, st.randoms())
def test_the_order_of_offers_does_not_change_the_merged_book(offers: list[CleanOffer], random: object) -> None:
    shuffled = offers.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert merge(shuffled) == merge(offers)


@given(_books)
def test_a_field_is_empty_only_if_it_is_empty_in_every_offer(offers: list[CleanOffer]) -> None:
    book = merge(offers)
    for name in ("subtitle", "category", "description", "language", "image_url"):
        values = {getattr(offer.details, name) for offer in offers} - {None}
        merged = getattr(book.details, name)
        assert (merged in values) if values else merged is None
    stocks = [offer.stock for offer in offers if offer.stock is not None]
    assert book.stock == (sum(stocks) if stocks else None)
    assert book.in_stock == any(offer.in_stock for offer in offers)


@given(_books)
def test_a_book_s_price_is_its_cheapest_offer_in_stock(offers: list[CleanOffer]) -> None:
    book = merge(offers)
    assert (book.price is None) == all(offer.price is None for offer in offers)
    buyable = [offer.price for offer in offers if offer.in_stock and offer.price]
    if buyable and book.price:
        assert book.price in buyable
        assert book.price.amount == min(price.amount for price in buyable if price.currency == book.price.currency)


def test_merging_no_offers_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        merge([])
