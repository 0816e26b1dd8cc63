"""Lists, facets and statistics of the index, compared with a naive model in Python."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from bookwheel_contracts import Book, Money
from bookwheel_stores.search import IndexReader, IndexWriter, open_index_reader, open_index_writer
from bookwheel_stores.search.queries import (
    Filter,
    NumericFacet,
    Position,
    Range,
    SearchCriteria,
    SearchQuery,
    Sort,
    SuggestionKind,
    TermFacet,
)
from bookwheel_stores.search.text import parse_text
from bookwheel_testing.sample_books import sample_book, sample_offer, sample_state, state_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

START = datetime(2026, 1, 1, tzinfo=UTC)
SLOW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

amounts = st.sampled_from(["0", "0.0001", "9.99", "10", "10.00", "10.5", "19.99", "9999999999.9999"]).map(Decimal)
prices = st.none() | st.builds(Money, amount=amounts, currency=st.sampled_from(["GBP", "EUR"]))


@st.composite
def books(draw: st.DrawFn, number: int) -> Book:
    seen = START + timedelta(milliseconds=draw(st.sampled_from([0, 100, 5_000, 86_400_000])))
    stock = draw(st.none() | st.integers(0, 3))
    return sample_book(
        number,
        title=draw(
            st.sampled_from(["The Moon", "the moon", "The Moon over the very long river", "Été", "", "猫", "A"])
        ),
        authors=tuple(draw(st.lists(st.sampled_from(["Ann Lee", "Bo", "Zoë"]), max_size=2))),
        category=draw(st.none() | st.sampled_from(["Poetry", "Travel", "Sci Fi"])),
        price=draw(prices),
        rating=draw(st.none() | st.sampled_from([0.0, 0.6, 3.0, 3.6666667, 5.0])),
        rating_count=draw(st.none() | st.integers(0, 3)),
        stock=stock,
        in_stock=bool(stock),
        offers=tuple(
            sample_offer(number, source=source) for source in draw(st.sets(st.sampled_from(["demo", "other"])))
        ),
        first_seen=seen,
        last_seen=seen,
        last_changed=seen,
    )


@st.composite
def shelves(draw: st.DrawFn) -> list[Book]:
    return [draw(books(number)) for number in range(1, draw(st.integers(0, 25)) + 1)]


@pytest.fixture(scope="module")
def writer(search_url: str) -> Iterator[IndexWriter]:
    with open_index_writer(search_url) as writer:
        yield writer


@pytest.fixture(scope="module")
def index(search_url: str, writer: IndexWriter) -> IndexReader:
    return open_index_reader(search_url)


def fill(writer: IndexWriter, index: IndexReader, shelf: Sequence[Book]) -> None:
    writer.clear()
    half = len(shelf) // 2  # two commits make two segments
    if half:
        writer.apply([state_of(book) for book in shelf[:half]])
    if shelf:
        writer.apply([state_of(book) for book in shelf[half:]])
    index.reload()


def read_pages(index: IndexReader, criteria: SearchCriteria, sort: Sort, limit: int) -> Iterator[list[dict[str, Any]]]:
    after: Position | None = None
    while True:
        page = index.search(SearchQuery(criteria, sort, limit, after))
        yield [orjson.loads(item) for item in page.items]
        if page.next is None:
            return
        after = page.next


def ids(pages: Iterator[list[dict[str, Any]]]) -> list[str]:
    return [item["id"] for page in pages for item in page]


def _last(value: Any, *, descending: bool = False) -> tuple[bool, Any]:
    return (value is None, 0 if value is None else -value if descending else value)


def expected_order(shelf: Sequence[Book], sort: Sort) -> list[str]:
    """Sort by the public field. Prices are compared in whole cents."""

    def key(book: Book) -> Any:
        price = None if book.price is None else min(int(book.price.amount * 100), (1 << 38) - 2)
        values = {
            Sort.PRICE: _last(price),
            Sort.PRICE_DESCENDING: _last(price, descending=True),
            Sort.RATING: _last(book.rating),
            Sort.RATING_DESCENDING: _last(book.rating, descending=True),
            Sort.STOCK: _last(book.stock),
            Sort.STOCK_DESCENDING: _last(book.stock, descending=True),
            Sort.NEWEST: _last(book.first_seen.timestamp(), descending=True),
            Sort.RELEVANCE: _last(book.first_seen.timestamp(), descending=True),
            Sort.LAST_CHANGED: _last(book.last_changed.timestamp()),
            Sort.LAST_CHANGED_DESCENDING: _last(book.last_changed.timestamp(), descending=True),
            Sort.TITLE: {"Été": "ete"}.get(book.title, book.title.lower())[:32],
        }
        return values[sort], book.number

    return [book.id for book in sorted(shelf, key=key)]


@SLOW
@given(shelf=shelves(), sort=st.sampled_from(Sort), limit=st.integers(1, 30))
def test_pages_contain_the_whole_sorted_list(
    writer: IndexWriter, index: IndexReader, shelf: list[Book], sort: Sort, limit: int
) -> None:
    fill(writer, index, shelf)
    assert ids(read_pages(index, SearchCriteria(), sort, limit)) == expected_order(shelf, sort)


@SLOW
@given(shelf=shelves(), limit=st.integers(1, 7))
def test_paging_by_relevance_returns_every_match_once_in_the_order_of_a_single_page(
    writer: IndexWriter, index: IndexReader, shelf: list[Book], limit: int
) -> None:
    fill(writer, index, shelf)
    moons = SearchCriteria(parse_text("moon"))
    paged = ids(read_pages(index, moons, Sort.RELEVANCE, limit))
    assert paged == ids(read_pages(index, moons, Sort.RELEVANCE, 100))
    assert sorted(paged) == sorted(book.id for book in shelf if "moon" in book.title.lower())


@SLOW
@given(shelf=shelves(), added=st.lists(st.integers(26, 40), unique=True), sort=st.sampled_from(Sort), data=st.data())
def test_paging_returns_unchanged_books_once_while_others_are_added_and_removed(
    writer: IndexWriter, index: IndexReader, shelf: list[Book], added: list[int], sort: Sort, data: st.DataObject
) -> None:
    fill(writer, index, shelf)
    removed = set(data.draw(st.lists(st.sampled_from(shelf).map(lambda book: book.id)))) if shelf else set()
    text = parse_text("moon") if sort is Sort.RELEVANCE else None
    read: list[str] = []
    for number, page in enumerate(read_pages(index, SearchCriteria(text), sort, 3)):
        read += [item["id"] for item in page]
        if number == 0:
            added_states = [state_of(data.draw(books(number))) for number in added]
            writer.apply(added_states + [state_of(book, removed=True) for book in shelf if book.id in removed])
            index.reload()
    unchanged = [book.id for book in shelf if book.id not in removed and (text is None or "moon" in book.title.lower())]
    assert Counter(book_id for book_id in read if book_id in unchanged) == Counter(unchanged)


def test_paging_works_beyond_ten_thousand_books(writer: IndexWriter, index: IndexReader) -> None:
    shelf = [
        sample_book(
            number,
            title="The Moon" if number % 3 else f"Moon {number}",
            price=Money(amount=Decimal(number % 50), currency="GBP"),
        )
        for number in range(1, 12_001)
    ]
    fill(writer, index, shelf)
    for sort in (Sort.RELEVANCE, Sort.TITLE, Sort.PRICE_DESCENDING):
        paged = ids(read_pages(index, SearchCriteria(parse_text("moon")), sort, 1000))
        assert len(paged) == len(set(paged)) == 12_000
    page = index.search(SearchQuery(SearchCriteria(parse_text("moon")), Sort.RELEVANCE, 5))
    assert page.next is not None
    for rank in (0, 7, 11_999, 12_000, 1 << 60):
        stale = replace(page.next, rank=rank)
        following = index.search(SearchQuery(SearchCriteria(parse_text("moon")), Sort.RELEVANCE, 5, stale))
        assert following == index.search(SearchQuery(SearchCriteria(parse_text("moon")), Sort.RELEVANCE, 5, page.next))


bounds = st.none() | st.sampled_from([Decimal(text) for text in ("-1", "0", "0.6", "3", "3.6666667", "10", "10.00001")])
ranges = st.builds(Range, bounds, bounds).filter(lambda limits: limits != Range(None, None))
filters = st.one_of(
    st.builds(
        Filter, st.just("category"), st.lists(st.sampled_from(["Poetry", "Travel", "None"]), min_size=1).map(tuple)
    ),
    st.builds(Filter, st.just("author"), st.lists(st.sampled_from(["Ann Lee", "Bo"]), min_size=1).map(tuple)),
    st.builds(Filter, st.just("source"), st.just(("other",))),
    st.builds(Filter, st.just("currency"), st.just(("GBP",))),
    st.builds(Filter, st.just("in_stock"), st.lists(st.sampled_from(["true", "false"]), min_size=1).map(tuple)),
    st.builds(
        Filter,
        st.sampled_from(["price", "rating", "stock", "rating_count"]),
        st.just(()),
        st.lists(ranges, min_size=1, max_size=2).map(tuple),
    ),
)


def values_of(book: Book, name: str) -> list[Any]:
    if name == "author":
        return list(dict.fromkeys(book.authors))
    if name == "source":
        return [offer.source for offer in book.offers]
    if name == "currency":
        return [book.price.currency] if book.price else []
    if name == "in_stock":
        return ["true" if book.in_stock else "false"]
    value = getattr(book, name)
    if value is None:
        return []
    return [value.amount if name == "price" else value]


def matches(book: Book, item: Filter) -> bool:
    values = values_of(book, item.name)
    if item.values:
        return any(value in item.values for value in values)
    return any(
        (limits.low is None or Decimal(str(value)) >= limits.low)
        and (limits.high is None or Decimal(str(value)) <= limits.high)
        for value in values
        for limits in item.ranges
    )


@SLOW
@given(shelf=shelves(), selected=st.lists(filters, max_size=4).map(tuple))
def test_filters_and_disjunctive_facets_equal_those_of_a_naive_search(
    writer: IndexWriter, index: IndexReader, shelf: list[Book], selected: tuple[Filter, ...]
) -> None:
    fill(writer, index, shelf)
    names = ("category", "author", "source", "in_stock", "price", "rating", "stock")
    page = index.search(SearchQuery(SearchCriteria(None, selected), Sort.NEWEST, 100, facets=names))
    expected = {book.id for book in shelf if all(matches(book, item) for item in selected)}
    assert {orjson.loads(item)["id"] for item in page.items} == expected
    assert page.total == len(expected)
    for name in names:
        others = [book for book in shelf if all(matches(book, item) for item in selected if item.name != name)]
        check_facet(page.facets[name], name, others, next((item for item in selected if item.name == name), None))


def test_two_filters_of_one_field_both_narrow_the_page_with_its_facet(writer: IndexWriter, index: IndexReader) -> None:
    shelf = [sample_book(number, category="Poetry", rating=float(number)) for number in range(1, 6)]
    fill(writer, index, shelf)
    up_to_three, from_two = (Filter("rating", ranges=(limits,)) for limits in (Range(None, 3), Range(2, None)))
    for text in (None, parse_text("moon")):
        for filters_of_rating in ((up_to_three, from_two), (from_two, up_to_three)):
            query = SearchQuery(
                SearchCriteria(text, filters_of_rating), Sort.RATING, 100, facets=("rating", "category")
            )
            page = index.search(query)
            assert [orjson.loads(item)["rating"] for item in page.items] == [2, 3]
            assert page.total == 2
            rating, category = page.facets["rating"], page.facets["category"]
            assert isinstance(rating, NumericFacet)
            assert (rating.count, rating.selected) == (5, filters_of_rating[0].ranges)
            assert isinstance(category, TermFacet)
            assert [(item.value, item.count) for item in category.values] == [("Poetry", 2)]


def test_a_rating_with_more_decimals_than_the_index_is_within_its_own_bounds(
    writer: IndexWriter, index: IndexReader
) -> None:
    ratings = (3.6666667, 3.66666666666, 0.0000004, 5.0)
    fill(writer, index, [sample_book(number, rating=rating) for number, rating in enumerate(ratings, start=1)])
    for rating in ratings:
        exact = Decimal(str(rating))
        for bounds in (Range(exact, None), Range(None, exact), Range(exact, exact)):
            page = index.search(SearchQuery(SearchCriteria(None, (Filter("rating", (), (bounds,)),)), Sort.NEWEST, 10))
            ratings_in_bounds = [orjson.loads(item)["rating"] for item in page.items]
            assert rating in ratings_in_bounds, bounds


def check_facet(facet: Any, name: str, shelf: list[Book], own: Filter | None) -> None:
    if isinstance(facet, TermFacet):
        counts = Counter(value for book in shelf for value in values_of(book, name))
        assert {item.value: item.count for item in facet.values if item.count} == counts
        assert {item.value for item in facet.values if item.selected} == set(own.values if own else ())
        return
    assert isinstance(facet, NumericFacet)
    if name == "price":
        shelf = [book for book in shelf if book.price and book.price.currency == facet.currency]
    values = [Decimal(str(value)) for book in shelf for value in values_of(book, name)]
    assert facet.count == len(values) == sum(bucket.count for bucket in facet.histogram)
    if values:
        assert facet.low is not None
        assert facet.high is not None
        assert Decimal(str(facet.low)) == pytest.approx(min(values), abs=Decimal("0.000001"))
        assert Decimal(str(facet.high)) == pytest.approx(max(values), abs=Decimal("0.000001"))
        assert 1 <= len(facet.histogram) <= 12
        for bucket in facet.histogram:
            inside = [value for value in values if Decimal(str(bucket.low)) <= value < Decimal(str(bucket.high))]
            assert len(inside) == bucket.count


@SLOW
@given(shelf=shelves())
def test_statistics_equal_a_naive_computation(writer: IndexWriter, index: IndexReader, shelf: list[Book]) -> None:
    fill(writer, index, shelf)
    result = index.statistics(SearchCriteria())
    assert result.books == len(shelf)
    assert result.in_stock == sum(book.in_stock for book in shelf)
    ratings = [book.rating for book in shelf if book.rating is not None]
    assert result.rated == len(ratings)
    assert result.rating_average == (pytest.approx(statistics.fmean(ratings), abs=1e-6) if ratings else None)
    by_currency: dict[str, list[Decimal]] = {}
    for book in shelf:
        if book.price is not None:
            by_currency.setdefault(book.price.currency, []).append(book.price.amount)
    assert {item.currency: (item.count, item.low, item.high) for item in result.prices} == {
        currency: (len(amounts), min(amounts), max(amounts)) for currency, amounts in by_currency.items()
    }
    grouped = {item.category: item.books for item in index.statistics_by_category(SearchCriteria(), limit=99)}
    assert grouped == Counter(book.category for book in shelf if book.category)


def test_the_median_and_the_average_are_exact(writer: IndexWriter, index: IndexReader) -> None:
    prices = [Money(amount=Decimal(amount), currency="GBP") for amount in ("1.00", "2.00", "4.01", "100.00")]
    fill(writer, index, [sample_book(number, price=price) for number, price in enumerate(prices, start=1)])
    (statistics_in_pounds,) = index.statistics(SearchCriteria()).prices
    assert (statistics_in_pounds.median, statistics_in_pounds.average) == (Decimal("3.00"), Decimal("26.75"))
    assert sorted(index.list_numbers(SearchCriteria(), limit=10)) == [1, 2, 3, 4]
    expensive = SearchCriteria(None, (Filter("price", ranges=(Range(Decimal(4), None),)),))
    assert sorted(index.list_numbers(expensive, limit=10)) == [3, 4]


def test_a_missing_index_is_empty_until_it_is_created(new_search_url: str) -> None:
    index = open_index_reader(new_search_url)
    query = SearchQuery(SearchCriteria(), Sort.NEWEST, 10, facets=("category", "price"))
    assert (index.search(query).total, index.count(SearchCriteria())) == (0, 0)
    assert index.statistics(SearchCriteria()).books == 0
    assert (index.statistics_by_category(SearchCriteria(), limit=9), index.list_numbers(SearchCriteria(), limit=9)) == (
        [],
        [],
    )
    assert index.suggest(["moon"], list(SuggestionKind), limit=3) == []
    assert index.count_distinct(SearchCriteria(), "author") == 0
    with open_index_writer(new_search_url) as writer:
        writer.apply([sample_state(1)])
    index.reload()
    assert index.count(SearchCriteria()) == 1


def test_reading_creates_no_index(tmp_path: Path) -> None:
    index = open_index_reader(f"tantivy://{tmp_path}/later")
    assert index.count(SearchCriteria()) == 0
    assert not (tmp_path / "later").exists()
    with open_index_writer(f"tantivy://{tmp_path}/later") as writer:
        writer.apply([sample_state(1)])
    assert index.count(SearchCriteria()) == 0, "it sees the same commit until reload"


def test_an_older_revision_never_replaces_a_newer_one(writer: IndexWriter, index: IndexReader) -> None:
    old, new = sample_state(1), sample_state(1, revision=2)
    fill(writer, index, [])
    for batch in ([old, new], [new, old], [old], [new]):
        writer.apply(batch)
        index.reload()
        (item,) = index.search(SearchQuery(SearchCriteria(), Sort.NEWEST, 10)).items
        assert orjson.loads(item)["revision"] == 2


def test_a_word_of_the_subtitle_matches_below_one_of_the_title(writer: IndexWriter, index: IndexReader) -> None:
    titles = [("River", None), ("Moor", "A Moon Rises"), ("The Moon", None)]
    shelf = [
        sample_book(number, title=title, subtitle=subtitle) for number, (title, subtitle) in enumerate(titles, start=1)
    ]
    fill(writer, index, shelf)
    page = index.search(SearchQuery(SearchCriteria(parse_text("moon")), Sort.RELEVANCE, 10))
    books = [orjson.loads(item) for item in page.items]
    assert [(book["id"], book["subtitle"]) for book in books] == [("demo:3", None), ("demo:2", "A Moon Rises")]
