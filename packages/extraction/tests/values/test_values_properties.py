"""Properties of all parsers: known amounts are read back, and no text crashes or delays them."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from bookwheel_extraction.values import Parsed
from bookwheel_extraction.values.availability import parse_availability
from bookwheel_extraction.values.categories import parse_categories
from bookwheel_extraction.values.contributors import parse_contributors
from bookwheel_extraction.values.counts import parse_count, parse_page_count
from bookwheel_extraction.values.currencies import parse_currency
from bookwheel_extraction.values.dates import PartialDate, parse_date
from bookwheel_extraction.values.formats import parse_format
from bookwheel_extraction.values.identifiers import find_isbns, parse_isbn
from bookwheel_extraction.values.languages import parse_language
from bookwheel_extraction.values.prices import parse_markup_price, parse_price, parse_text_price
from bookwheel_extraction.values.ratings import parse_rating
from bookwheel_extraction.values.text import parse_prose, parse_text
from bookwheel_extraction.values.urls import normalize_url
from hypothesis import given
from hypothesis import strategies as st

PARSERS: list[Callable[[Any], Parsed[Any]]] = [
    parse_availability,
    parse_categories,
    parse_contributors,
    parse_count,
    parse_date,
    parse_format,
    parse_isbn,
    parse_language,
    parse_markup_price,
    parse_page_count,
    parse_price,
    parse_prose,
    parse_rating,
    parse_text,
    parse_text_price,
    normalize_url,
]
NOTATIONS: dict[str, tuple[str, str, str, str]] = {
    # currency: group sign, decimal sign, what is before and after the amount
    "GBP": (",", ".", "£", ""),
    "USD": (",", ".", "US$ ", ""),
    "EUR": (".", ",", "", " €"),
    "PLN": (" ", ",", "", " zł"),
    "CZK": ("\u00a0", ",", "", " Kč"),
    "SEK": ("\u202f", ",", "SEK ", ""),
    "CHF": ("’", ".", "CHF ", ""),
    "BRL": (".", ",", "R$ ", ""),
    "DKK": (".", ",", "DKK ", ""),
    "UAH": (" ", ",", "", " ₴"),
}


def format_amount(cents: int, group: str, decimal: str) -> str:
    whole = f"{cents // 100:,}".replace(",", group)
    return f"{whole}{decimal}{cents % 100:02d}"


@given(st.integers(0, 10**11), st.sampled_from(sorted(NOTATIONS)))
def test_an_amount_is_read_back_in_the_notation_of_its_currency(cents: int, currency: str) -> None:
    group, decimal, before, after = NOTATIONS[currency]
    price = parse_text_price(f"{before}{format_amount(cents, group, decimal)}{after}").value
    assert price is not None
    assert (price.amount, price.currency) == (Decimal(cents) / 100, currency)


@given(st.integers(0, 10**9), st.sampled_from(["'", "’", " ", "\u00a0", "\u202f", "\u2009", ".", ","]))
def test_grouping_does_not_depend_on_the_sign(cents: int, group: str) -> None:
    decimal = "," if group == "." else "."
    price = parse_text_price(f"EUR {format_amount(cents, group, decimal)}").value
    assert price is not None
    assert price.amount == Decimal(cents) / 100


@given(st.integers(0, 10**8), st.sampled_from(["EUR", "GBP", "JPY", "KWD", "INR"]))
def test_markup_is_read_back(cents: int, currency: str) -> None:
    price = parse_markup_price(f"{cents // 100}.{cents % 100:02d}", currency).value
    assert price is not None
    assert price.amount == Decimal(cents) / 100


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.sampled_from(["£", "€ ", "US$"]))
def test_two_amounts_give_no_price_but_their_range(cents: int, more: int, sign: str) -> None:
    first, second = format_amount(cents, "", "."), format_amount(cents + more, "", ".")
    assert parse_text_price(f"{sign}{second} {sign}{first}").value is None
    assert parse_text_price(f"was {sign}{second} now {sign}{first}").value is None
    lower = parse_text_price(f"{sign}{first} - {sign}{second}").value
    assert lower is not None
    assert lower.amount == Decimal(cents) / 100


@given(st.integers(0, 10**11), st.sampled_from([",", ".", " ", "'", "\u00a0"]))
def test_a_count_is_read_back_in_any_grouping(count: int, group: str) -> None:
    grouped = f"{count:,}".replace(",", group)
    assert parse_count(f"{grouped} ratings").value == count


@given(st.integers(0, 50), st.sampled_from(["/10", " out of 10", " von 10", " sur 10"]), st.sampled_from([".", ","]))
def test_a_rating_of_ten_is_halved(tenths: int, scale: str, decimal: str) -> None:
    assert parse_rating(f"{tenths // 5}{decimal}{tenths % 5 * 2}{scale}").value == tenths / 10


@given(st.dates())
def test_a_date_is_read_back(day: Any) -> None:
    expected = PartialDate(day.year, day.month, day.day)
    if day.year <= 2200:
        assert parse_date(day.isoformat()).value == expected
        assert parse_date(f"{day.day}. {day.month}. {day.year:04d}").value == expected


@given(st.integers(0, 999_999_999), st.sampled_from(["-", " ", "\u2011", "\u2013", ""]))
def test_isbn_10_and_isbn_13_are_the_same(number: int, hyphen: str) -> None:
    digits = f"{number:09d}"
    check = -sum(int(digit) * (10 - place) for place, digit in enumerate(digits)) % 11
    isbn10 = hyphen.join((digits[0], digits[1:5], digits[5:], "X" if check == 10 else str(check)))
    isbns = find_isbns(f"ISBN {isbn10}")
    if number == 0:
        return
    assert len(isbns) == 1
    isbn13 = isbns[0]
    assert isbn13[3:12] == digits
    assert parse_isbn(isbn13).value == isbn13
    assert parse_isbn(f"{isbn13[:12]}{(int(isbn13[12]) + 1) % 10}").value is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
_pieces = st.lists(
    st.sampled_from(
        ["1", "12", "299", ",", ".", " ", "'", "-", "€", "£", "$", "kr", "%", "/", "(", ")", "e", "+", "x", "of"]
    )
    | st.text(max_size=3),
    max_size=20,
).map("".join)


@given(_json | _pieces)
def test_any_value_is_parsed_or_refused(value: Any) -> None:
    for parser in PARSERS:
        parsed = parser(value)
        assert parsed.value is None or parsed.fault is None
        if parsed.fault:
            assert len(parsed.fault.text) <= 80
    parse_currency(value)


@pytest.mark.parametrize(
    "text",
    [
        "1" + " " * 198 + "-",
        "1 " * 100,
        "1,111" * 40,
        "in stock (" * 20,
        "1" * 200,
        "rating" * 33,
        "rating " * 28,
        "2004-05-06 12:00 " + "A" * 180,
        "by " * 3000,
        "A, " * 3000,
        "Ann Lee and " * 800,
        "(" * 5000,
        "()" * 4000,
        "> " * 1000,
        "0-" * 500,
        "9 " * 500,
        "not " * 45,
        "nicht x " * 25,
        "a&" * 100_000,
        "<!--" * 200_000,
        "<a" * 200_000,
        "Z" + "\u0301\u0316" * 100_000,
        "https://s.example/" + "%3" * 900,
        "https://s.example/" + "/.." * 600,
    ],
)
def test_no_text_is_slow_to_parse(text: str) -> None:
    started = time.process_time()
    for parser in PARSERS:
        parser(text)
    assert time.process_time() - started < 1.5
