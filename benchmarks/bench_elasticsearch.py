"""Elasticsearch: the pipeline compared with a raw bulk, searches with the raw query, cached with uncached searches.

`python -m benchmarks.bench_elasticsearch bulk` or `… search` measures one part. A number sets the size of the catalog.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from bookwheel_contracts import BookState
from bookwheel_stores.records import ChangeFeed, connect_database
from bookwheel_stores.search.elasticsearch.address import parse_address
from bookwheel_stores.search.elasticsearch.client import connect
from bookwheel_stores.search.elasticsearch.facets import FacetPlan
from bookwheel_stores.search.elasticsearch.mapping import build_document, index_body
from bookwheel_stores.search.elasticsearch.pages import Order
from bookwheel_stores.search.elasticsearch.reader import page_request
from bookwheel_stores.search.queries import Filter, Range, SearchCriteria, SearchQuery, Sort
from bookwheel_stores.search.text import parse_text
from bookwheel_testing.engines import running_elasticsearch
from bookwheel_testing.search import elasticsearch_url
from elasticsearch import helpers

from benchmarks.catalog_service import NUMBERS, Catalog, running_catalog, search_words
from benchmarks.harness import compare, distinct_searches, requests_per_second, run
from benchmarks.processor_service import Processor, redis_server
from benchmarks.results import Result, save
from benchmarks.sample_items import scraped_books

ITEMS, BOOKS = 20_000, 100_000
SEARCHES = 200
WARM_UPS = 2  # directly after its start the server indexes at a third of its later rate
PATH = "/api/v1/books?limit=20&sort=relevance&facet=category"


class Pipeline:
    """Ingests from the stream into the index. Each run fills a new catalog."""

    def __init__(self, folder: Path, server: str, redis_url: str) -> None:
        self._folder, self._server, self._redis_url = folder, server, redis_url
        self._numbers = count()
        self.written: list[BookState] = []

    def items_per_second(self, *, repeated: int = 0) -> float:
        """Returns the rate for `ITEMS` items. The last `repeated` items repeat the first items.

        The worker first ingests other books, so the measurement excludes its imports.
        """
        with elasticsearch_url(self._server) as index:
            processor = Processor(self._folder / str(next(self._numbers)), self._redis_url, index=index)
            new = scraped_books(0, ITEMS - repeated)
            with processor.running():
                processor.ingest("warm", scraped_books(50_000, 500))
                rate = processor.ingest("run", [*new, *new[:repeated]])
            if not self.written:
                engine = connect_database(processor.records_url)
                self.written = ChangeFeed(engine).list_books(after_number=500, limit=ITEMS)
                engine.dispose()
        return rate


def raw_bulk(server: str, books: Sequence[BookState]) -> float:
    """Returns documents/s of a loop that writes prepared documents. It writes repeated documents again."""
    documents = [(str(book.number), build_document(book)) for book in books]
    client = connect(parse_address(server.replace("http://", "elasticsearch://")), timeout=60)
    index = f"raw-{uuid4().hex[:8]}"
    client.indices.create(index=index, **index_body())
    actions = ({"_index": index, "_id": number, "_source": document} for number, document in documents)
    started = time.perf_counter()
    for _ in helpers.streaming_bulk(client, actions):
        pass  # raises BulkIndexError if a document is not written
    client.indices.refresh(index=index)
    rate = len(documents) / (time.perf_counter() - started)
    client.indices.delete(index=index)
    client.close()
    return rate


def bulk(folder: Path, server: str, redis_url: str) -> list[Result]:
    pipeline, quarter = Pipeline(folder, server, redis_url), ITEMS // 4
    pipeline.items_per_second()
    books = pipeline.written
    if len(books) != ITEMS:
        raise RuntimeError(f"{len(books)} of {ITEMS} books were written")
    for _ in range(WARM_UPS):
        raw_bulk(server, books)
    return [
        compare(
            "pipeline into Elasticsearch, or a raw bulk",
            ours=pipeline.items_per_second,
            floor=lambda: raw_bulk(server, books),
            bound=0.8,
            unit="items/s",
            rounds=3,
        ),
        compare(
            "the same, a quarter of the items repeated",
            ours=lambda: pipeline.items_per_second(repeated=quarter),
            floor=lambda: raw_bulk(server, [*books[:-quarter], *books[:quarter]]),
            bound=0.7,
            unit="items/s",
            rounds=3,
        ),
    ]


def rate_of_median(search: Callable[[str, int], object]) -> float:
    """Returns 1 / the median seconds of a search. Each search is different, so none is cached."""
    words: list[str] = search_words()
    durations = []
    for number, _ in zip(NUMBERS, range(SEARCHES), strict=False):
        started = time.perf_counter()
        search(words[number % len(words)], number)
        durations.append(time.perf_counter() - started)
    return 1 / statistics.median(durations)


def search(processor: Processor, catalog: Catalog) -> list[Result]:
    words = search_words()
    address = parse_address(processor.search_url)
    elasticsearch = connect(address, timeout=30)
    client = httpx.Client(base_url=catalog.url, headers=catalog.headers, timeout=30)

    def through_catalog(word: str, number: int) -> Any:
        query = {"q": word, "filter": f"stock:0..{number}"}
        return client.get(PATH, params=httpx.URL(PATH).params.merge(query)).raise_for_status().json()

    def raw(word: str, number: int) -> Any:
        """The catalog's query, sent by Elasticsearch's own client."""
        stock_filter = Filter("stock", ranges=(Range(0, number),))
        query = SearchQuery(SearchCriteria(parse_text(word), (stock_filter,)), Sort.RELEVANCE, 20, facets=("category",))
        request = page_request(query, FacetPlan(query.criteria, query.facets), Order.of(query))
        return elasticsearch.search(index=address.alias, body=request).body

    def uncached() -> float:
        path = PATH + "&q={word}&filter=stock:0..{number}"
        script = distinct_searches(words, path, first=next(NUMBERS) * 100_000)
        return requests_per_second(catalog.url, headers=catalog.headers, script=script)

    if through_catalog(words[0], 999)["total"]["value"] != raw(words[0], 999)["hits"]["total"]["value"]:
        raise RuntimeError("the catalog and the raw query find different books")
    cached = f"{catalog.url}{PATH}&q={words[0]}"
    return [
        compare(
            "search p50 on Elasticsearch, or the raw query",
            ours=lambda: rate_of_median(through_catalog),
            floor=lambda: rate_of_median(raw),
            bound=1 / 1.5,
            unit="1/p50 s",
        ),
        compare(
            "search on Elasticsearch, cached or not",
            ours=lambda: requests_per_second(cached, headers=catalog.headers),
            floor=uncached,
            bound=4,
            unit="requests/s",
        ),
    ]


def main(arguments: list[str]) -> None:
    books = next((int(argument) for argument in arguments if argument.isdigit()), BOOKS)
    parts = [argument for argument in arguments if not argument.isdigit()] or ["bulk", "search"]
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        server, _ = stack.enter_context(running_elasticsearch())
        redis_url = stack.enter_context(redis_server(folder / "redis"))
        if "bulk" in parts:
            save(bulk(folder / "bulk", server, redis_url))
        if "search" in parts:
            index = stack.enter_context(elasticsearch_url(server))
            processor = Processor(folder / "search", redis_url, index=index)
            processor.fill(books)
            with running_catalog(processor) as catalog:
                save(search(processor, catalog))


if __name__ == "__main__":
    run(main)
