"""What cleaning makes of the values that pages hold.

The parsers of single values have their own tests in the package `extraction`.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bookwheel_contracts import Money, RawItem
from bookwheel_contracts.crawls import RAW_FIELDS
from bookwheel_extraction.values.availability import AvailabilityState
from bookwheel_extraction.values.text import parse_prose
from bookwheel_processor.cleaning.errors import InvalidItemError
from bookwheel_processor.cleaning.item import clean_item
from bookwheel_stores.records.values import from_units, to_units
from bookwheel_stores.search.text import fold_words
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("found", "currency", "amount", "code"),
    [
        ("£51.77", None, "51.77", "GBP"),
        ("51,77 €", None, "51.77", "EUR"),
        ("$1,234.5", "USD", "1234.50", "USD"),
        ("51.77", "gbp", "51.77", "GBP"),
        ("1.234", "EUR", "1.234", "EUR"),  # a plain number: schema.org's point is a decimal point
        ("1.234 €", None, "1234", "EUR"),
        (51.77, "GBP", "51.77", "GBP"),
        ("0.00", "GBP", "0", "GBP"),
        ("£10.00 \u2013 £12.00", None, "10.00", "GBP"),
        ("£10 - 2 left", None, "10", "GBP"),  # no second price
    ],
)
def test_an_item_has_a_price(scraped: Any, found: Any, currency: str | None, amount: str, code: str) -> None:
    offer = clean_item(scraped.item(1, price=found, currency=currency))
    assert offer.price == Money(amount=Decimal(amount), currency=code)
    assert offer.faults == ()


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("price", "Call us", "not_a_price"),
        ("price", "-5.00 €", "negative"),
        ("price", "$5.00", "no_currency"),
        ("price", "was £24.00 now £18.00", "several_numbers"),
        ("price", {"amount": 3}, "not_a_price"),
        ("price", "9" * 10_000, "too_long"),
        ("rating", "Eleven", "not_a_rating"),
        ("rating", "6", "no_scale"),
        ("rating", [4], "not_a_rating"),
        ("rating_count", "1.2k", "not_exact"),
        ("stock", "minus three", "not_a_count"),
        ("availability", {"state": "in stock"}, "not_an_availability"),
        ("isbn", "9780306406158", "check_digit"),
        ("isbn", "9790612345675", "ismn"),
        ("language", "Paperback", "unknown_language"),
        ("authors", [f"Author {number}" for number in range(101)], "too_many"),
        ("authors", {"name": "Ann Lee"}, "not_a_name"),
        ("category", {"name": "Poetry"}, "not_a_category"),
        ("category", "c" * 1500, "string_too_long"),
        ("description", "x" * 200_000, "string_too_long"),
        ("description", ["x"], "not_text"),
        ("subtitle", "x" * 2000, "string_too_long"),
        ("image_url", "ftp://shop.example/a.jpg", "not_a_url"),
    ],
)
def test_an_unreadable_field_is_left_out_with_its_fault(scraped: Any, field: str, value: Any, code: str) -> None:
    offer = clean_item(scraped.item(1, **{field: value}))
    [fault] = offer.faults
    assert (fault.field, fault.code) == (field, code)
    assert 0 < len(fault.text) <= 80
    assert offer.details.title == "Book 1"
    name = {"isbn": "isbn13"}.get(field, field)
    left_out = (
        getattr(offer, name, None) if name in {"price", "stock", "availability"} else getattr(offer.details, name)
    )
    assert left_out in (None, ()) or name == "stock"


def test_an_item_is_published_without_all_of_its_unreadable_fields(scraped: Any) -> None:
    offer = clean_item(scraped.item(1, price="soon", rating="Eleven", isbn="978", description="x" * 200_000))
    assert {(fault.field, fault.code) for fault in offer.faults} == {
        ("price", "not_a_price"),
        ("rating", "not_a_rating"),
        ("isbn", "not_an_isbn"),
        ("description", "string_too_long"),
    }


@given(st.integers(0, 10**12), st.sampled_from(["GBP", "JPY", "KWD", "EUR"]))
def test_money_keeps_its_value_in_the_records(units: int, currency: str) -> None:
    money = from_units(units, currency)
    assert to_units(money.amount) == units
    assert money.currency == currency


@pytest.mark.parametrize(
    ("stock", "availability", "expected"),
    [
        (None, "In stock (19 available)", (19, True)),
        (None, "  \n In stock (19 available)\n", (19, True)),
        (None, "In stock", (None, True)),
        (None, "Out of stock", (0, False)),
        (None, "https://schema.org/InStock", (None, True)),
        (None, "http://schema.org/OutOfStock/", (0, False)),
        (None, "schema:LimitedAvailability", (None, True)),
        (7, "https://schema.org/InStock", (7, True)),
        ("7", None, (7, True)),
        (0, "In stock", (0, False)),
        (None, None, (None, False)),
        (None, "?" * 5000, (None, False)),
        (None, "In stock - delivered in 1-2 days", (None, True)),
        (None, "In stock: 1-2 days", (None, True)),
        (None, "In stock at 3 shops", (None, True)),
        (None, "Available from 2027", (None, False)),
        (None, "Usually ships within 24 hours", (None, False)),
        (None, "Out of stock until 2027", (0, False)),
        (None, "Temporarily out of stock, 12 customers wait", (0, False)),
        (None, "Not in stock (3 on their way)", (0, False)),
        (None, "Pre-order: out in 2027", (0, False)),
        (None, "12", (12, True)),
        (None, "Only 3 left", (3, True)),
        (None, "2 copies", (2, True)),
        (None, "1,204 available", (1204, True)),
        (None, "5 more are still available", (5, True)),
        (None, "In stock: 5", (5, True)),
        (None, "Delivered in 24 hours, 6 in stock", (6, True)),
        (None, "0 in stock", (0, False)),
        (None, "1-2 left", (None, False)),
        (None, "4.5 left", (None, False)),
    ],
)
def test_stock_and_availability(scraped: Any, stock: Any, availability: Any, expected: tuple[int | None, bool]) -> None:
    offer = clean_item(scraped.item(1, stock=stock, availability=availability))
    assert (offer.stock, offer.in_stock) == expected
    assert offer.faults == ()


@pytest.mark.parametrize(
    ("stock", "availability", "expected"),
    [
        (None, "In stock", AvailabilityState.IN_STOCK),
        (0, "In stock", AvailabilityState.OUT_OF_STOCK),
        (3, None, AvailabilityState.IN_STOCK),
        (None, "Sold out", AvailabilityState.OUT_OF_STOCK),
        (None, "PreOrder", AvailabilityState.PRE_ORDER),
        (None, "BackOrder", AvailabilityState.BACK_ORDER),
        (None, "Discontinued", AvailabilityState.DISCONTINUED),
        (None, "Ask us", None),
        (None, None, None),
    ],
)
def test_an_unstated_availability_is_unknown(
    scraped: Any, stock: Any, availability: Any, expected: AvailabilityState | None
) -> None:
    assert clean_item(scraped.item(1, stock=stock, availability=availability)).availability is expected


def test_a_rating_of_zero_without_votes_is_none(scraped: Any) -> None:
    assert clean_item(scraped.item(1, rating="0", rating_count="0")).details.rating is None
    assert clean_item(scraped.item(1, rating="Zero", rating_count="12")).details.rating == 0.0
    assert clean_item(scraped.item(1, rating="Three", rating_count="0")).details.rating == 3.0


@pytest.mark.parametrize(
    "hostile",
    [
        "<!--" * 200_000,
        "&lt;!--" * 200_000,
        "<a" * 200_000,
        "Z" + "\u0301\u0316" * 100_000,
        "Z" + "\u0f75\u0f73" * 100_000,
        "Z" + "\u0301\uff9e\u0316" * 100_000,
    ],
)
def test_no_text_is_slow_to_clean(hostile: str) -> None:
    started = time.process_time()
    cleaned = parse_prose(hostile).value
    fold_words(cleaned or "")
    assert time.process_time() - started < 3  # these took 16 s and more, most of them a minute


def test_an_image_url_is_absolute(scraped: Any) -> None:
    relative = clean_item(scraped.item(1, image_url="/media/a.jpg"))
    assert relative.details.image_url == "http://shop.example/media/a.jpg"
    inlined = clean_item(scraped.item(1, image_url="data:image/png;base64,xx"))
    assert (inlined.details.image_url, inlined.faults) == (None, ())


def test_languages_isbns_and_categories_have_one_form(scraped: Any) -> None:
    details = clean_item(
        scraped.item(1, language="en_US", isbn="ISBN-13: 978‑1‑9876‑0031‑5 (pbk.)", category="Home > Books > Crime")  # noqa: RUF001
    ).details
    assert (details.language, details.isbn13, details.category) == ("en", "9781987600315", "Crime")


def test_only_authors_are_authors(scraped: Any) -> None:
    authors = "Ann Lee and Bo Kay (Illustrator); Cy Mu, translated by Di Ra"
    assert clean_item(scraped.item(1, authors=authors)).details.authors == ("Ann Lee", "Cy Mu")


def test_a_scraped_item_becomes_a_clean_offer(scraped: Any) -> None:
    item = scraped.item(
        1,
        title="Salt &amp; Iron",
        isbn="0-306-40615-2",
        authors="Ada Quill; Ben Reed; ada quill",
        category=["Books", "Poetry", " "],
        rating="Four",
        description="<p>Warm.</p>",
        availability="In stock (3 available)",
    )
    offer = clean_item(item)
    assert (offer.source, offer.source_key, offer.book_id) == ("shop", "upc-1", "isbn:9780306406157")
    assert (offer.stock, offer.in_stock) == (3, True)
    facts = offer.details
    assert (facts.title, facts.category, facts.rating, facts.description) == ("Salt & Iron", "Poetry", 4.0, "Warm.")
    assert facts.authors == ("Ada Quill", "Ben Reed")


def test_an_item_without_title_or_identity_is_rejected_with_all_reasons(scraped: Any) -> None:
    item = scraped.item(1, title=" ", key={}, colour="red")
    with pytest.raises(InvalidItemError) as rejected:
        clean_item(item)
    named = {(reason.field, reason.code) for reason in rejected.value.reasons}
    assert named == {("title", "missing"), ("key", "not_text"), ("'colour'", "unknown_field")}


def test_a_too_long_title_is_rejected_with_a_short_message(scraped: Any) -> None:
    with pytest.raises(InvalidItemError) as rejected:
        clean_item(scraped.item(1, title="x" * 5000, description="y" * 200_000))
    assert "title" in {reason.field for reason in rejected.value.reasons}
    assert all(len(reason.message) < 300 for reason in rejected.value.reasons)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(RAW_FIELDS)), _json), st.text(max_size=60), st.text(max_size=20))
def test_any_page_is_cleaned_or_rejected(payload: dict[str, Any], url: str, source: str) -> None:
    item = RawItem.model_construct(
        schema_version=1,
        run_id="r",
        item_number=1,
        source=source,
        url=url,
        scraped_at=datetime(2026, 1, 31, tzinfo=UTC),
        payload=payload,
        fingerprint="",
        traceparent="",
    )
    with suppress(InvalidItemError):
        offer = clean_item(item)
        assert offer.details.title
        assert offer.model_dump_json().encode()
