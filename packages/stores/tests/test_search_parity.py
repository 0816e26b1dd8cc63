"""Both engines side by side on 2,000 books of the demo shop and 300 queries."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from bookwheel_stores.search import IndexReader, open_index_reader, open_index_writer
from bookwheel_stores.search.queries import Filter, Position, Range, SearchCriteria, SearchQuery, Sort, SuggestionKind
from bookwheel_stores.search.text import fold_words, parse_text
from bookwheel_testing.sample_books import demo_states
from bookwheel_testing.search import elasticsearch_url

BOOKS, QUERIES = 2_000, 100
FACETS = ("category", "author", "source", "currency", "in_stock", "price", "rating", "stock", "rating_count")


@dataclass(frozen=True)
class Engines:
    """The same books in both engines."""

    embedded: IndexReader
    cluster: IndexReader
    books: list[dict[str, Any]]


@pytest.fixture(scope="module")
def engines(elasticsearch_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    states = demo_states(BOOKS)
    folder: Path = tmp_path_factory.mktemp("index")
    with elasticsearch_url(elasticsearch_server) as url:
        for engine_url in (url, f"tantivy://{folder}"):
            with open_index_writer(engine_url) as writer:
                assert writer.apply(states) == []
        books = [orjson.loads(state.content) for state in states]
        yield Engines(open_index_reader(f"tantivy://{folder}"), open_index_reader(url), books)


def with_typo(word: str, rng: random.Random) -> str:
    index = rng.randrange(1, len(word))
    return rng.choice(
        [word[:index] + word[index + 1 :], word[:index] + "x" + word[index:], word[:index] + "q" + word[index + 1 :]]
    )


def random_text(books: list[dict[str, Any]], rng: random.Random) -> str:
    book = rng.choice(books)
    words = fold_words(book["title"]) or ["moon"]
    word = max(words, key=len)
    other = max(fold_words(rng.choice(books)["title"]) or ["x"], key=len)
    possible = [
        str(book["title"]),
        with_typo(word, rng) if len(word) > 4 else word,
        " ".join(rng.sample(words, min(2, len(words)))),
        '"' + " ".join(words[:2]) + '"',
        *book["authors"],
        f"{word} -{other}",
        word,
    ]
    return str(rng.choice(possible))


def random_filters(books: list[dict[str, Any]], rng: random.Random) -> tuple[Filter, ...]:
    book = rng.choice(books)
    low = Decimal(rng.randrange(1000, 4000)) / 100
    possible = [
        Filter("category", tuple({book["category"], rng.choice(books)["category"]})),
        Filter("author", tuple(book["authors"]) or ("Nobody",)),
        Filter("source", ("other",)),
        Filter("currency", ("GBP",)),
        Filter("in_stock", (rng.choice(["true", "false"]),)),
        Filter("price", ranges=(Range(low, low + 10), Range(Decimal(55), None))),
        Filter("rating", ranges=(Range(rng.randrange(1, 5), None),)),
        Filter("stock", ranges=(Range(None, rng.randrange(0, 20)),)),
        Filter("rating_count", ranges=(Range(1, 50),)),
    ]
    return tuple(rng.sample(possible, rng.randrange(1, 4)))


def ids(index: IndexReader, criteria: SearchCriteria, sort: Sort, limit: int = BOOKS) -> list[str]:
    items = index.search(SearchQuery(criteria, sort, limit)).items
    return [str(orjson.loads(item)["id"]) for item in items]


def test_filters_and_facets_have_the_same_books_and_counts(engines: Engines) -> None:
    rng = random.Random(1)
    for _ in range(QUERIES):
        criteria = SearchCriteria(None, random_filters(engines.books, rng))
        sort = rng.choice([sort for sort in Sort if sort is not Sort.RELEVANCE])
        query = SearchQuery(criteria, sort, 50, facets=tuple(rng.sample(FACETS, 4)))
        embedded, cluster = engines.embedded.search(query), engines.cluster.search(query)
        assert (cluster.items, cluster.total) == (embedded.items, embedded.total), criteria
        assert cluster.facets == embedded.facets, criteria
        assert engines.cluster.statistics(criteria) == engines.embedded.statistics(criteria)
    everything = SearchCriteria()
    for limit in (2, 99):  # some of the categories, and all
        expected = engines.embedded.statistics_by_category(everything, limit=limit)
        assert engines.cluster.statistics_by_category(everything, limit=limit) == expected
    for name in ("category", "author", "source"):
        assert engines.cluster.count_terms(everything, name, limit=5_000) == engines.embedded.count_terms(
            everything, name, limit=5_000
        )
        assert engines.cluster.count_distinct(everything, name) == engines.embedded.count_distinct(everything, name)


def test_text_queries_match_the_same_books_in_similar_order(engines: Engines) -> None:
    rng = random.Random(2)
    same_best = 0
    overlaps: list[float] = []
    for _ in range(QUERIES):
        text = random_text(engines.books, rng)
        criteria = SearchCriteria(parse_text(text))
        embedded = ids(engines.embedded, criteria, Sort.RELEVANCE)
        cluster = ids(engines.cluster, criteria, Sort.RELEVANCE)
        assert sorted(cluster) == sorted(embedded), text
        same_best += cluster[:1] == embedded[:1]
        ten = set(embedded[:10])
        overlaps.append(len(ten & set(cluster[:10])) / len(ten) if ten else 1.0)
    assert same_best >= 0.9 * QUERIES
    assert sum(overlaps) / len(overlaps) >= 0.8


def test_text_queries_with_filters_have_the_same_counts(engines: Engines) -> None:
    rng = random.Random(3)
    for _ in range(QUERIES):
        criteria = SearchCriteria(parse_text(random_text(engines.books, rng)), random_filters(engines.books, rng)[:2])
        query = SearchQuery(criteria, Sort.PRICE, 20, facets=("category", "price", "author"))
        embedded, cluster = engines.embedded.search(query), engines.cluster.search(query)
        assert (cluster.items, cluster.total) == (embedded.items, embedded.total), criteria
        assert cluster.facets == embedded.facets, criteria


@pytest.mark.parametrize("sort", [Sort.TITLE, Sort.PRICE_DESCENDING, Sort.RATING, Sort.NEWEST])
def test_cursors_of_both_engines_are_equal(engines: Engines, sort: Sort) -> None:
    after: Position | None = None
    for _ in range(5):
        query = SearchQuery(SearchCriteria(), sort, 70, after)
        embedded, cluster = engines.embedded.search(query), engines.cluster.search(query)
        assert cluster.items == embedded.items
        assert embedded.next is not None
        assert cluster.next is not None
        assert (cluster.next.value, cluster.next.number) == (embedded.next.value, embedded.next.number)
        after = cluster.next


def test_completions_are_the_same(engines: Engines) -> None:
    rng = random.Random(4)
    same = 0
    for _ in range(QUERIES):
        words = fold_words(rng.choice(engines.books)["title"]) or ["moon"]
        prefix = " ".join(words[:2])[: rng.randrange(2, 9)]
        if len(prefix) > 4 and rng.random() < 0.5:
            prefix = with_typo(prefix, rng)
        prefix_words = fold_words(prefix)
        embedded, cluster = (
            index.suggest(prefix_words, list(SuggestionKind), limit=10) for index in (engines.embedded, engines.cluster)
        )
        same += embedded[:3] == cluster[:3]
    assert same >= 0.9 * QUERIES
