"""The generated catalog: deterministic, with bounded memory, and different on each day."""

import os
import subprocess
import sys
import time
import tracemalloc
from collections import Counter

import pytest
from bookwheel_demo_shop.catalog import CACHED_BOOKS, MAX_BOOKS, MAX_DAY, Catalog, Listing, build_isbn13, slugify
from bookwheel_demo_shop.prose import Quirk, quirk_at
from hypothesis import given, settings
from hypothesis import strategies as st


def valid_isbn13(text: str) -> bool:
    return len(text) == 13 and sum(int(digit) * (1, 3)[index % 2] for index, digit in enumerate(text)) % 10 == 0


def list_all(catalog: Catalog, day: int = 0) -> list[Listing]:
    return catalog.listings(day, 0, catalog.size)


def test_the_same_seed_generates_the_same_shop_in_any_order_of_requests() -> None:
    forwards = Catalog(size=300, seed=5)
    backwards = Catalog(size=300, seed=5)
    listings = [backwards.find(number, 0) for number in range(300, 0, -1)]
    assert list_all(forwards) == listings[::-1]


def test_another_seed_generates_other_books() -> None:
    first, second = list_all(Catalog(size=200, seed=1)), list_all(Catalog(size=200, seed=2))
    assert not {listing.book.upc for listing in first} & {listing.book.upc for listing in second}
    assert sum(a.book.title == b.book.title for a, b in zip(first, second, strict=True)) < 10


def test_a_book_does_not_depend_on_the_process_or_the_hash_seed() -> None:
    program = "from bookwheel_demo_shop.catalog import Catalog; print(Catalog(size=9, seed=1).listings(77, 3, 1))"

    def run(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, env=environment
        ).stdout.decode()

    (listing,) = Catalog(size=9, seed=1).listings(77, 3, 1)
    for text in (run("1"), run("2")):
        assert repr(listing.book.upc) in text
        assert repr(listing.book.title) in text
        assert f"pence={listing.pence}, stock={listing.stock}, rating={listing.rating}" in text


def test_the_memory_of_a_large_shop_does_not_depend_on_its_size() -> None:
    tracemalloc.start()
    catalog = Catalog(size=MAX_BOOKS, seed=3)
    last = catalog.find(MAX_BOOKS, 0)
    page = catalog.listings(MAX_DAY, MAX_BOOKS - 20, 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last is not None
    assert len(page) == 20
    assert peak < 2_000_000


def test_generating_a_book_takes_the_same_time_in_a_large_shop() -> None:
    def seconds(size: int) -> float:
        catalog = Catalog(size=size, seed=3)
        started = time.process_time()
        catalog.listings(0, size - 500, 500)
        return time.process_time() - started

    assert min(seconds(MAX_BOOKS) for _ in range(3)) < 3 * min(seconds(500) for _ in range(3))


def test_the_number_of_cached_books_is_limited() -> None:
    catalog = Catalog(size=20_000, seed=3)
    catalog.listings(0, 0, CACHED_BOOKS + 500)
    assert catalog._book.cache_info().currsize == CACHED_BOOKS


@pytest.mark.parametrize("size", [0, -1, MAX_BOOKS + 1])
def test_an_invalid_number_of_books_is_rejected(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        Catalog(size=size, seed=1)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, MAX_BOOKS), seed=st.integers(), day=st.integers(0, MAX_DAY), data=st.data())
def test_every_listed_book_is_found_by_its_number(size: int, seed: int, day: int, data: st.DataObject) -> None:
    catalog = Catalog(size=size, seed=seed)
    rank = data.draw(st.integers(0, size - 1))
    (listing,) = catalog.listings(day, rank, 1)
    assert catalog.find(listing.book.number, day) == listing
    assert catalog.get_place(listing.book.number) == rank
    assert listing.book.title.strip()
    assert listing.pence > 0
    assert 0 <= listing.stock <= 22
    assert 1 <= listing.rating <= 5


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 700), day=st.integers(0, 500))
def test_each_book_is_in_exactly_one_category(size: int, day: int) -> None:
    catalog = Catalog(size=size, seed=1)
    listings = [
        listing
        for category in catalog.categories
        for listing in catalog.listings(day, 0, category.size, category)
        if listing.book.category == category
    ]
    assert Counter(listing.book.number for listing in listings) == Counter(
        listing.book.number for listing in list_all(catalog, day)
    )


def test_some_categories_have_several_pages_and_some_have_one() -> None:
    sizes = [category.size for category in Catalog(size=1_000, seed=1).categories]
    assert sum(size > 20 for size in sizes) >= 10
    assert sum(size <= 20 for size in sizes) >= 5


def test_identifiers_are_unique_over_books_and_days() -> None:
    catalog = Catalog(size=2_000, seed=1)
    books = {listing.book.number: listing.book for day in (0, 150, 420) for listing in list_all(catalog, day)}
    assert len(books) > 4_000
    isbns = [book.isbn for book in books.values() if book.isbn]
    assert len({book.upc for book in books.values()}) == len(books)
    assert all(len(book.upc) == 16 for book in books.values())
    assert len(set(isbns)) == len(isbns)
    assert all(map(valid_isbn13, isbns))
    assert 0.9 < len(isbns) / len(books) < 0.97


@given(st.integers(1, 10**9 - 1))
def test_every_number_has_a_valid_isbn(number: int) -> None:
    assert valid_isbn13(build_isbn13(number))


@pytest.mark.parametrize("day", [0, 1, 49, 99, 199, 200, 1_000])
def test_each_day_changes_prices_and_stocks_and_replaces_books(day: int) -> None:
    catalog = Catalog(size=1_000, seed=1)
    before, after = list_all(catalog, day), list_all(catalog, day + 1)
    kept_pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.book == b.book]
    assert len(kept_pairs) == 995
    assert 19 <= sum(a.pence != b.pence for a, b in kept_pairs) <= 21
    assert 19 <= sum(a.stock != b.stock for a, b in kept_pairs) <= 21
    unchanged = [(a, b) for a, b in kept_pairs if (a.pence, a.stock) == (b.pence, b.stock)]
    assert all(a == b for a, b in unchanged)


def test_the_number_of_a_replaced_book_is_not_used_again() -> None:
    catalog = Catalog(size=1_000, seed=1)
    before = {listing.book.number for listing in list_all(catalog)}
    after = {listing.book.number for listing in list_all(catalog, 1)}
    assert len(before - after) == len(after - before) == 5
    for number in before - after:
        assert catalog.find(number, 0) is not None
        assert all(catalog.find(number, day) is None for day in (1, 2, 200, 201, 1_000))
    for number in after - before:
        assert catalog.find(number, 0) is None
        assert catalog.find(number, 1) is not None


def test_an_earlier_day_restores_its_books() -> None:
    catalog = Catalog(size=200, seed=1)
    before = list_all(catalog, 3)
    list_all(catalog, 900)
    assert list_all(catalog, 3) == before


@pytest.mark.parametrize("number", [0, -1, -(10**30), 10**9, 10**30])
def test_an_unknown_book_number_is_not_found(number: int) -> None:
    assert Catalog(size=10, seed=1).find(number, 0) is None


def test_a_list_ends_at_the_last_book() -> None:
    catalog = Catalog(size=45, seed=1)
    assert len(catalog.listings(0, 40, 20)) == 5
    assert catalog.listings(0, 45, 20) == []
    assert catalog.listings(0, 10**12, 20) == []


def test_the_shop_has_every_kind_of_irregular_book() -> None:
    listings = list_all(Catalog(size=1_000, seed=1588))
    titles = Counter(listing.book.title for listing in listings)
    descriptions = [listing.book.description for listing in listings]
    assert 20 <= sum(text is None for text in descriptions) <= 40
    assert any(len(text) > 15_000 for text in descriptions if text)
    assert any(any("а" <= letter <= "я" for letter in title) for title in titles)  # noqa: RUF001 - Cyrillic is meant
    assert any(any("\u3040" <= letter <= "\u30ff" for letter in title) for title in titles)
    assert any('"' in title for title in titles)
    assert any("'" in title for title in titles)
    assert any("<" in title for title in titles)
    assert any("&amp;" in title for title in titles)
    assert any(len(title) > 200 for title in titles)
    assert any(count > 1 for count in titles.values())
    assert any(listing.stock == 0 for listing in listings)
    assert any(len(listing.book.authors) > 1 for listing in listings)
    assert any(listing.book.slug == "book" for listing in listings)


@given(st.floats(0, 1, exclude_max=True))
def test_every_random_value_selects_a_quirk(fraction: float) -> None:
    assert quirk_at(fraction) in Quirk


@given(st.text())
def test_a_slug_is_an_ascii_path_segment(text: str) -> None:
    slug = slugify(text)
    assert 1 <= len(slug) <= 60
    assert all(part.isascii() and part.isalnum() for part in slug.split("-"))
