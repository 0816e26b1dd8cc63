"""Pages and facets computed from a text's matches equal those of Tantivy's own queries."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
from bookwheel_contracts import Book, Money
from bookwheel_stores.search import open_index_writer
from bookwheel_stores.search.fields import FACETS
from bookwheel_stores.search.queries import Filter, Range, SearchCriteria, SearchPage, SearchQuery, Sort
from bookwheel_stores.search.tantivy.reader import TantivyIndexReader
from bookwheel_stores.search.text import parse_text
from bookwheel_testing.sample_books import sample_book, sample_offer, state_of

START = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = ("moon", "mon", "moon -river", '"the moon"', "the", "river moon", "nothing", "-moon", "title", "!!")
FILTERS: tuple[tuple[Filter, ...], ...] = (
    (),
    (Filter("stock", ranges=(Range(0, 2),)),),
    (Filter("price", ranges=(Range(Decimal("9.995"), None), Range(None, Decimal(5)))), Filter("in_stock", ("true",))),
    (Filter("category", ("Poetry", "Nowhere")), Filter("author", ("Ann Lee", "Zoë"))),
    (Filter("source", ("other",)), Filter("rating", ranges=(Range(0.6, 3.7),))),
    (Filter("currency", ("EUR",)), Filter("language", ("en",))),
    (Filter("isbn13", ("9780306406157",)),),
    (Filter("first_seen", ranges=(Range(int(START.timestamp() * 1000), None),)), Filter("in_stock", ("true", "false"))),
)


def shelf(currencies: tuple[str, ...]) -> Iterator[Book]:
    """200 different books, the same in every run."""
    rng = random.Random(7)
    for number in range(1, 201):
        seen = START + timedelta(milliseconds=rng.choice([-86_400_000, 0, 100]))
        stock = rng.choice([None, 0, 1, 2, 3])
        price = Money(amount=Decimal(rng.choice(["0", "4.5", "9.99", "10.005"])), currency=rng.choice(currencies))
        offers = tuple(
            sample_offer(number, source=source) for source in rng.sample(["demo", "other"], rng.randint(0, 2))
        )
        yield sample_book(
            number,
            title=rng.choice(["The Moon", "the moon", "The Moon over the river", "Title", "Moor", "River"]),
            authors=tuple(rng.choices(["Ann Lee", "Bo", "Zoë"], k=rng.randint(0, 2))),
            isbn13=rng.choice([None, "9780306406157"]),
            language=rng.choice([None, "en", "pl"]),
            category=rng.choice([None, "Poetry", "Travel", "Sci Fi"]),
            price=rng.choice([None, price]),
            rating=rng.choice([None, 0.0, 0.6, 3.6666667, 5.0]),
            rating_count=rng.choice([None, 0, 17]),
            stock=stock,
            in_stock=bool(stock),
            offers=offers,
            first_seen=seen,
            last_seen=seen,
            last_changed=seen,
        )


@pytest.mark.parametrize("currencies", [("GBP",), ("GBP", "EUR")])
def test_pages_facets_and_cursors_are_the_same_with_and_without_cached_matches(
    tmp_path: Path, currencies: tuple[str, ...]
) -> None:
    with open_index_writer(f"tantivy://{tmp_path}/index") as writer:
        books = [state_of(book) for book in shelf(currencies)]
        writer.apply(books[:120])
        writer.apply(books[120:])
    cached, queried = (TantivyIndexReader(tmp_path / "index", max_matches=limit) for limit in (256, -1))
    pages = 0
    for text, filters, limit in product(TEXTS, FILTERS, (1, 20, 100)):
        for sort in (Sort.RELEVANCE, Sort.PRICE):
            query = SearchQuery(SearchCriteria(parse_text(text), filters), sort, limit, None, FACETS)
            for _ in range(4):
                page = cached.search(query)
                assert page == queried.search(query), query
                pages += 1
                if page.next is None:
                    break
                query = replace(query, after=page.next)
    assert pages > len(TEXTS) * len(FILTERS) * 6


def test_a_cursor_of_a_removed_book_continues_after_its_position(tmp_path: Path) -> None:
    books = [state_of(book) for book in shelf(("GBP",))]
    query = SearchQuery(SearchCriteria(parse_text("moon")), Sort.RELEVANCE, 7)
    with open_index_writer(f"tantivy://{tmp_path}/index") as writer:
        writer.apply(books)
        cached, queried = (TantivyIndexReader(tmp_path / "index", max_matches=limit) for limit in (256, -1))
        first: SearchPage = cached.search(query)
        assert first.next is not None
        whole = [
            item for page in (first, cached.search(replace(query, limit=100, after=first.next))) for item in page.items
        ]
        writer.apply([book._replace(removed=True, revision=2) for book in books if book.number == first.next.number])
    cached.reload()
    queried.reload()
    rest = cached.search(replace(query, limit=100, after=first.next))
    assert rest == queried.search(replace(query, limit=100, after=first.next))
    assert [*first.items, *rest.items] == whole
    assert rest.total == first.total - 1
