"""Tests of parsing query parameters, of cursors and of HTTP caching."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from bookwheel_catalog.http_caching import matches_etag, next_link
from bookwheel_catalog.search.cursors import decode_position, encode_cursor, encode_position
from bookwheel_catalog.search.page_cache import RenderedPage
from bookwheel_catalog.search.parsing import (
    parse_facets,
    parse_fields,
    parse_filters,
    parse_isbn,
    parse_query_text,
    parse_range,
    parse_time,
)
from bookwheel_contracts.problems import InvalidCursorError, InvalidParameterError
from bookwheel_stores.search.queries import Filter, Position, Range, SearchCriteria, Sort
from bookwheel_stores.search.text import parse_text
from hypothesis import given, settings
from hypothesis import strategies as st

MIDNIGHT = datetime(2026, 1, 31, tzinfo=UTC)


def test_values_of_a_field_become_one_filter_in_any_order() -> None:
    filters = parse_filters(["category:Poetry", "price:..20", "category:A: B", "category:Poetry"])
    assert filters == parse_filters(["price:..20", "category:A: B", "category:Poetry"])
    assert filters == (
        Filter("category", values=("A: B", "Poetry")),
        Filter("price", ranges=(Range(None, Decimal(20)),)),
    )


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [("10..20.5", "10", "20.5"), ("10..", "10", None), ("..0", None, "0"), ("7", "7", "7"), ("-1..", "-1", None)],
)
def test_parse_number_ranges(value: str, low: str | None, high: str | None) -> None:
    expected = Range(None if low is None else Decimal(low), None if high is None else Decimal(high))
    assert parse_range("filter", "price", value) == expected


@pytest.mark.parametrize("isbn", ["978-0-306-40615-7", "9780306406157", "0306406152", "0-306-40615-2"])
def test_isbn10_and_isbn13_become_isbn13(isbn: str) -> None:
    assert parse_isbn("isbn", isbn) == "9780306406157"


def test_time_range_includes_the_whole_last_day() -> None:
    day = round(MIDNIGHT.timestamp() * 1000)
    assert parse_range("filter", "first_seen", "2026-01-31") == Range(day, day + 86_399_999)
    assert parse_range("filter", "first_seen", "2026-01-31T01:00:00+01:00..") == Range(day, None)
    assert parse_time("from", "2026-01-31T00:00:00Z", end_of_day=False) == MIDNIGHT


@pytest.mark.parametrize(
    "filter_text",
    [
        *("", "price", ":", "nothing:1", "price:", "price:..", "price:a", "price:1..a", "price:2..1", "price:1e5"),
        *("price:NaN", "price:Infinity", "rating:1...2", "stock:٣", "in_stock:yes", "category:", f"price:{'9' * 40}"),
        *("first_seen:yesterday", "first_seen:2026-13-01", "last_changed:2026-01-01T00:00:00", f"{'x' * 9999}:1"),
    ],
)
def test_invalid_filter_is_rejected(filter_text: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        parse_filters([filter_text])
    assert caught.value.errors[0].field == "filter"
    assert len(caught.value.detail) < 400


def test_too_many_values_or_words_are_rejected() -> None:
    with pytest.raises(InvalidParameterError, match="more than 100 values"):
        parse_filters([f"category:{number}" for number in range(101)])
    with pytest.raises(InvalidParameterError, match="more than 32 words"):
        parse_query_text("a " * 33)


def test_facets_and_fields_must_exist() -> None:
    assert parse_facets(["category,price", "category"]) == ("category", "price")
    assert parse_fields(None, ["id"]) is None
    assert parse_fields("title,id,title", ["id", "title"]) == ("title", "id")
    with pytest.raises(InvalidParameterError, match="`title`"):
        parse_facets(["title"])
    with pytest.raises(InvalidParameterError, match="``"):
        parse_fields("id,", ["id"])


criteria = st.builds(SearchCriteria, st.none() | st.text(max_size=20).map(parse_text))
unsigned = st.integers(0, (1 << 64) - 2)


@settings(deadline=None)
@given(criteria=criteria, sort=st.sampled_from(Sort), number=unsigned, rank=unsigned, data=st.data())
def test_cursor_decodes_to_its_position_only_for_the_same_list(
    criteria: SearchCriteria, sort: Sort, number: int, rank: int, data: st.DataObject
) -> None:
    is_scored = sort is Sort.RELEVANCE and criteria.text is not None
    part = st.floats(allow_nan=False, allow_infinity=False) if is_scored else unsigned
    size = 4 if sort is Sort.TITLE else 1
    position = Position(tuple(data.draw(st.lists(part, min_size=size, max_size=size))), number, rank)
    cursor = encode_position(position, criteria, sort)
    assert decode_position(cursor, criteria, sort) == position
    other = Sort.PRICE if sort is not Sort.PRICE else Sort.NEWEST
    with pytest.raises(InvalidCursorError):
        decode_position(cursor, criteria, other)
    with pytest.raises(InvalidCursorError):
        decode_position(cursor, SearchCriteria(parse_text("something else entirely")), sort)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5), st.lists
)


@settings(deadline=None)
@given(st.text(max_size=50) | st.lists(json, max_size=8).map(encode_cursor), st.sampled_from(Sort))
def test_forged_cursor_is_rejected(cursor: str, sort: Sort) -> None:
    with pytest.raises(InvalidCursorError):
        decode_position(cursor, SearchCriteria(), sort)


@pytest.mark.parametrize(
    "value", [[-1], [1 << 64], [(1 << 64) - 1], [1.5], [True], [None], [[1]], [], [1, 2], [1, 2, 3, 4]]
)
def test_cursor_with_invalid_values_is_rejected(value: list[object]) -> None:
    good = encode_position(Position((5,), 1, 0), SearchCriteria(), Sort.PRICE)
    assert decode_position(good, SearchCriteria(), Sort.PRICE) is not None
    digest = digest_of_price_list()
    try:
        forged = encode_cursor([digest, 1, 0, *value])
    except TypeError:  # larger than the integers of orjson
        return
    with pytest.raises(InvalidCursorError):
        decode_position(forged, SearchCriteria(), Sort.PRICE)


def digest_of_price_list() -> str:
    import base64  # noqa: PLC0415

    import orjson  # noqa: PLC0415

    cursor = encode_position(Position((5,), 1, 0), SearchCriteria(), Sort.PRICE)
    digest: str = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))[0]
    return digest


def test_link_to_the_next_page_keeps_the_other_parameters() -> None:
    assert next_link("/api/v1/books", "q=a%20b&cursor=old&limit=5", "new") == (
        '</api/v1/books?q=a%20b&limit=5&cursor=new>; rel="next"'
    )
    assert next_link("/books>; rel=x", "", "new") == '</books%3E%3B%20rel%3Dx?cursor=new>; rel="next"'


@settings(deadline=None)
@given(content=st.binary(), following=st.none() | st.from_regex(r"\A[A-Za-z0-9_-]{1,50}\Z"))
def test_cached_page_decodes_to_the_same_page(content: bytes, following: str | None) -> None:
    page = RenderedPage(content, following)
    assert RenderedPage.from_bytes(page.to_bytes()) == page


@pytest.mark.parametrize(
    ("header", "same"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("a", False), (None, False)],
)
def test_if_none_match(header: str | None, same: bool) -> None:
    assert matches_etag(header, '"a"') is same
