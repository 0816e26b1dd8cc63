"""Cleaning of values, items and URLs."""

import time
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bookwheel_contracts import Money, RawItem
from bookwheel_contracts.crawls import RAW_FIELDS
from bookwheel_contracts.isbn import clean_isbn
from bookwheel_processor.cleaning.errors import InvalidItemError, InvalidValueError
from bookwheel_processor.cleaning.item import clean_item
from bookwheel_processor.cleaning.numbers import clean_count, clean_price, clean_rating, clean_stock
from bookwheel_processor.cleaning.text import clean_label, clean_prose, clean_text
from bookwheel_processor.cleaning.urls import canonical_path, canonical_url, clean_image_url
from bookwheel_stores.records.values import from_units, to_units
from bookwheel_stores.search.text import fold_words
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "currency", "amount", "code"),
    [
        ("£51.77", None, "51.77", "GBP"),
        ("Â£51.77", None, "51.77", "GBP"),  # UTF-8 that was read as Latin-1
        ("51,77 €", None, "51.77", "EUR"),
        ("1.234,50 €", None, "1234.50", "EUR"),
        ("$1,234.5", None, "1234.50", "USD"),
        ("USD 12", None, "12", "USD"),
        ("51.77", "gbp", "51.77", "GBP"),
        ("1.234", "EUR", "1.234", "EUR"),  # schema.org: the dot is the decimal separator
        (51.77, "GBP", "51.77", "GBP"),
        (12, "GBP", "12", "GBP"),
        (1e-7, "GBP", "0", "GBP"),
        ("0.00", "GBP", "0", "GBP"),
        ("£9999999999.99994", None, "9999999999.9999", "GBP"),
        ("£10.00-£12.00", None, "10.00", "GBP"),
        ("£10.00 \u2013 £12.00", None, "10.00", "GBP"),
        ("£12.00\u2013£10.00", None, "10.00", "GBP"),
        ("1.234,50 € - 2.000,00 €", None, "1234.50", "EUR"),
        ("10.00-12.00 USD", None, "10.00", "USD"),
        ("10-12", "GBP", "10", "GBP"),
        ("from £10.50 - £12.99 each", None, "10.50", "GBP"),
        ("£10 - 2 left", None, "10", "GBP"),  # no second price
        ("5.00 € -10%", None, "5.00", "EUR"),
    ],
)
def test_a_price_is_its_amount_and_currency(value: Any, currency: str | None, amount: str, code: str) -> None:
    assert clean_price(value, currency) == Money(amount=Decimal(amount), currency=code)


@pytest.mark.parametrize(
    ("value", "currency", "code"),
    [
        ("Call us", None, "not_a_price"),
        ("-5.00", "GBP", "negative"),
        ("-£5.00", None, "negative"),
        ("£-5.00", None, "negative"),
        ("\N{MINUS SIGN}£5.00", None, "negative"),
        ("\N{EN DASH}£5.00", None, "negative"),
        (" \N{EN DASH} 5,00 €", None, "negative"),
        ("EUR -5.00", None, "negative"),
        ("£9999999999.99999", None, "too_large"),  # once rounded
        ("12.00", None, "no_currency"),
        ("12.00", "doubloons", "unknown_currency"),
        ("£1e400", None, "not_a_price"),
        ("5E-3", "GBP", "not_a_price"),
        ("9" * 30, "GBP", "too_large"),
        ("9" * 300, "GBP", "too_long"),
        (float("inf"), "GBP", "not_a_price"),
        (True, "GBP", "not_a_price"),
        ({"amount": 3}, "GBP", "not_a_price"),
    ],
)
def test_an_invalid_price_is_rejected_with_its_value(value: Any, currency: str | None, code: str) -> None:
    with pytest.raises(InvalidValueError) as error:
        clean_price(value, currency)
    assert error.value.code == code


def test_a_missing_price_is_valid() -> None:
    assert clean_price(None, "GBP") is None
    assert clean_price("", None) is None


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
        (None, "Available from 2027", (None, True)),
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
def test_stock_and_availability(stock: Any, availability: Any, expected: tuple[int | None, bool]) -> None:
    assert clean_stock(stock, availability) == expected


@pytest.mark.parametrize(
    ("rating", "best", "expected"),
    [
        ("Three", None, 3.0),
        ("zero", None, 0.0),
        ("4/5", None, 4.0),
        ("8 out of 10", None, 4.0),
        ("80%", None, 4.0),
        ("4,5", None, 4.5),
        ("4.5 stars", None, 4.5),
        (4.5, 5, 4.5),
        ("9", "10", 4.5),
        (None, "5", None),
        ("", None, None),
    ],
)
def test_a_rating_is_converted_to_the_scale_of_five(rating: Any, best: Any, expected: float | None) -> None:
    assert clean_rating(rating, best) == expected


@pytest.mark.parametrize(
    ("rating", "best"), [("Six", None), ("6", None), ("4", "0"), ("4", "x"), ([4], None), ("-1", None)]
)
def test_a_rating_greater_than_its_scale_is_rejected(rating: Any, best: Any) -> None:
    with pytest.raises(InvalidValueError):
        clean_rating(rating, best)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1,204 ratings", 1204),
        ("1.000 Bewertungen", 1000),
        ("1 204", 1204),
        ("(12)", 12),
        (3.0, 3),
        ("3.000", 3),
        ("10.0000", 10),
        ("0", 0),
        (None, None),
    ],
)
def test_a_count(value: Any, expected: int | None) -> None:
    assert clean_count(value) == expected


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("many", "not_a_count"),
        (-3, "not_a_count"),
        ("1e5", "not_a_count"),
        ("9" * 20, "too_large"),
        ([], "not_a_count"),
        (True, "not_a_count"),
        ("4.5", "fractional"),
        (4.5, "fractional"),
        ("1.204,5 ratings", "fractional"),
    ],
)
def test_an_invalid_count_is_rejected(value: Any, code: str) -> None:
    with pytest.raises(InvalidValueError) as error:
        clean_count(value)
    assert error.value.code == code


@pytest.mark.parametrize("text", ["1" + " " * 198 + "-", "1 " * 100, "1,111" * 40, "in stock (" * 20, "1" * 200])
def test_no_text_is_slow_to_parse(text: str) -> None:
    started = time.process_time()
    for clean in (lambda: clean_stock(None, text), lambda: clean_price(text, "GBP"), lambda: clean_count(text)):
        with suppress(InvalidValueError):
            clean()
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("978-0-306-40615-7", "9780306406157"),
        ("9780306406157", "9780306406157"),
        ("0-306-40615-2", "9780306406157"),
        ("ISBN-13: 978 0 306 40615 7", "9780306406157"),
        ("urn:isbn:0306406152", "9780306406157"),
        ("080442957X", "9780804429573"),
        (9780306406157, "9780306406157"),
        ("9780306406158", None),
        ("0306406153", None),
        ("1234567890128", None),  # a valid check digit, but not a prefix of books
        ("٩٧٨٠٣٠٦٤٠٦١٥٧", None),
        ("", None),
        (None, None),
        (True, None),
        ("9" * 10_000, None),
    ],
)
def test_an_invalid_isbn_is_ignored(value: Any, expected: str | None) -> None:
    assert clean_isbn(value) == expected


@given(st.integers(0, 999_999_999))
def test_isbn_10_and_isbn_13_are_the_same(number: int) -> None:
    digits = f"{number:09d}"
    total = sum(int(digit) * (10 - place) for place, digit in enumerate(digits))
    check = -total % 11
    isbn13 = clean_isbn(digits + ("X" if check == 10 else str(check)))
    assert isbn13 is not None
    assert isbn13[3:12] == digits
    assert clean_isbn(isbn13) == isbn13
    assert clean_isbn(f"{isbn13[:12]}{(int(isbn13[12]) + 1) % 10}") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("  A  Light\n in the\tAttic ", "A Light in the Attic"),
        ("Salt &amp; Iron", "Salt & Iron"),
        ("Cafe\u0301", "Café"),
        ("nul\x00 and \ud800 and \u202e", "nul and and"),
        ("   ", None),
        (None, None),
        (12, "12"),
    ],
)
def test_text_is_one_clean_line(value: Any, expected: str | None) -> None:
    assert clean_text(value) == expected


def test_markup_is_removed_from_prose_but_not_its_characters() -> None:
    assert clean_prose("<p>if a < b &lt;3<br/>then <b>bold</b></p><!-- no -->") == "if a < b <3 then bold"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("&lt;p&gt;A tale&lt;/p&gt;", "A tale"),
        ("Once&lt;br/&gt;upon &amp; a time", "Once upon & a time"),
        ("a < b", "a < b"),
        ("&lt;3", "<3"),
        ("<a title='a &gt; b'>x</a>", "x"),
        ("&lt;p&gt; &lt;/p&gt;", None),
        (12, "12"),
    ],
)
def test_escaped_markup_is_removed_from_prose(value: Any, expected: str | None) -> None:
    assert clean_prose(value) == expected


def test_comments_of_any_length_are_removed() -> None:
    assert clean_prose(f"before<!-- {'<b>x</b> ' * 5000}-->after <!-- on and on") == "before after <!-- on and on"
    assert clean_prose("<!--a-->b<!---->c<!-- <!-- d -->") == "b c"


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
    cleaned = clean_prose(hostile)
    fold_words(cleaned or "")
    assert time.process_time() - started < 3  # these took 16 s and more, most of them a minute


def test_a_letter_keeps_up_to_thirty_combining_marks() -> None:
    assert clean_text("q\u0323\u0302 x" + "\u0316" * 40) == "q\u0323\u0302 x" + "\u0316" * 30


def test_a_long_label_is_not_cached() -> None:
    tracemalloc.start()
    try:
        for number in range(20):
            assert clean_label(f"{number:1000000d} ") == str(number)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


@given(st.text())
def test_clean_text_is_stable_and_storable(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned is None or (cleaned.encode() and "\x00" not in cleaned and cleaned == " ".join(cleaned.split()))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Shop.Example:80/a/b.html#top", "http://shop.example/a/b.html"),
        ("https://shop.example:443", "https://shop.example/"),
        ("https://shop.example:8443/a?utm_source=x&id=3&gclid=y", "https://shop.example:8443/a?id=3"),
        ("http://[::1]:8085/a", "http://[::1]:8085/a"),
        ("http://127.0.0.1:42137/catalogue/a_1/index.html", "http://127.0.0.1:42137/catalogue/a_1/index.html"),
    ],
)
def test_a_url_has_one_canonical_form(url: str, expected: str) -> None:
    assert canonical_url(url) == expected
    assert canonical_url(expected) == expected


def test_the_host_is_not_part_of_an_offer_s_key() -> None:
    assert canonical_path("http://a.example/x?id=1#y") == canonical_path("https://b.example:99/x?id=1&utm_medium=z")


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "javascript:alert(1)", "/x", "", "http://", "http://a b/", "http://a:x/", "http://a/" + "x" * 3000],
)
def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(InvalidValueError):
        canonical_url(url)


def test_an_image_url_is_made_absolute_or_dropped() -> None:
    page = "http://shop.example/catalogue/a_1/index.html"
    assert clean_image_url("../../media/a.jpg", page) == "http://shop.example/media/a.jpg"
    assert clean_image_url("https://cdn.example/a.jpg", page) == "https://cdn.example/a.jpg"
    assert clean_image_url("data:image/png;base64,xx", page) is None
    assert clean_image_url(["a"], page) is None


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


def test_an_item_is_rejected_with_all_its_errors(scraped: Any) -> None:
    item = scraped.item(1, title=" ", price="soon", rating="Eleven", colour="red")
    with pytest.raises(InvalidItemError) as rejected:
        clean_item(item)
    named = {(reason.field, reason.code) for reason in rejected.value.reasons}
    assert named == {
        ("title", "missing"),
        ("price", "not_a_price"),
        ("rating", "not_a_rating"),
        ("'colour'", "unknown_field"),
    }


def test_a_too_long_value_is_rejected_with_a_short_message(scraped: Any) -> None:
    with pytest.raises(InvalidItemError) as rejected:
        clean_item(scraped.item(1, title="x" * 5000, description="y" * 200_000))
    assert {reason.field for reason in rejected.value.reasons} == {"title", "description"}
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
