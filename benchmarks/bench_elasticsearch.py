"""Elasticsearch: the pipeline beside a raw bulk, searches beside the raw query, cached beside uncached, and while the
index is built anew.

`python -m benchmarks.bench_elasticsearch` measures all, with `bulk`, `search` or `reindex` behind it some.
"""

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
from bookwheel_contracts import BookState
from bookwheel_contracts.accounts import INTERNAL_AUDIENCE
from bookwheel_processor.projection import Projection
from bookwheel_stores.cache import Generation
from bookwheel_stores.records import ChangeFeed, connect_database
from bookwheel_stores.search import open_index_build, open_index_reader
from bookwheel_stores.search.elastic_address import parse_address
from bookwheel_stores.search.elastic_facets import FacetPlan
from bookwheel_stores.search.elastic_mapping import build_document, index_body
from bookwheel_stores.search.elastic_queries import scored
from bookwheel_stores.search.queries import SearchQuery, Selection, Sort
from bookwheel_stores.search.text import parse_text
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.engines import running_elasticsearch
from bookwheel_testing.servers import answers, free_port, running
from cryptography.hazmat.primitives.asymmetric import ec
from elasticsearch import helpers

from benchmarks.harness import Result, compare, requests_per_second, result, save
from benchmarks.processing import Processor, redis_server
from benchmarks.scraped import scraped_books

ITEMS, BOOKS = 10_000, 100_000
STREAM_ITEMS = 20_000
SEARCHES = 200
_KEY = ec.generate_private_key(ec.SECP256R1())
_CATALOG = Path(sys.prefix) / "bin" / "bookwheel-catalog"


@dataclass(frozen=True)
class ElasticProcessor(Processor):
    """A processor whose index is in Elasticsearch; its records are in SQLite."""

    index: str

    @property
    def search_url(self) -> str:
        return self.index


class Filling:
    """New catalogues, each with an index of its own, one after the other."""

    def __init__(self, folder: Path, redis_url: str, server: str) -> None:
        self._folder, self._redis_url, self._server = folder, redis_url, server
        self._numbers = count()

    def next(self) -> ElasticProcessor:
        url = f"{self._server.replace('http://', 'elasticsearch://')}/b{uuid4().hex[:8]}-"
        return ElasticProcessor(self._folder / str(next(self._numbers)), self._redis_url, url)

    def items_per_second(self, *, repeated: int = 0) -> float:
        """`ITEMS` items, `repeated` of them once more what the same run had already."""
        processor = self.next()
        with processor.at_work():
            processor.take_in("warm", scraped_books(50_000, 500))
            new = scraped_books(0, ITEMS - repeated)
            return processor.take_in("run", [*new, *new[:repeated]])


def bulk(folder: Path, server: str, redis_url: str) -> list[Result]:
    filling = Filling(folder, redis_url, server)
    made = filling.next()
    with made.at_work():
        made.take_in("run", scraped_books(0, ITEMS))
    engine = connect_database(made.records_url)
    states = ChangeFeed(engine).living_books(after_number=0, limit=ITEMS)
    engine.dispose()

    def raw(documents: Sequence[BookState], again: Sequence[BookState] = ()) -> float:
        """The documents are ready; what is repeated is sent again, as a loop that looks at nothing would."""
        ready = [(str(state.number), build_document(state)) for state in (*documents, *again)]
        client = parse_address(server.replace("http", "elasticsearch")).connect(timeout=60)
        name = f"raw-{uuid4().hex[:8]}"
        client.indices.create(index=name, **index_body())
        actions = ({"_index": name, "_id": number, "_source": document} for number, document in ready)
        began = time.perf_counter()
        for ok, outcome in helpers.streaming_bulk(client, actions):
            if not ok:
                raise RuntimeError(outcome)
        client.indices.refresh(index=name)
        rate = len(ready) / (time.perf_counter() - began)
        client.indices.delete(index=name)
        return rate

    quarter = ITEMS // 4
    return [
        compare(
            "pipeline into Elasticsearch, or a raw bulk",
            ours=filling.items_per_second,
            floor=lambda: raw(states),
            bound=0.8,
            unit="items/s",
            rounds=3,
        ),
        compare(
            "the same, a quarter of the items repeated",
            ours=lambda: filling.items_per_second(repeated=quarter),
            floor=lambda: raw(states[:-quarter], states[:quarter]),
            bound=0.7,
            unit="items/s",
            rounds=3,
        ),
    ]


class _Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        public = jwt.algorithms.ECAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
        body = json.dumps({"keys": [{**public, "kid": "one", "alg": "ES256", "use": "sig"}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Quiet."""


def _token() -> str:
    now = int(time.time())
    claims = {"iss": "bookwheel", "aud": INTERNAL_AUDIENCE, "sub": "user:1", "iat": now, "exp": now + 3600}
    return jwt.encode({**claims, "scope": "catalog:read"}, _KEY, "ES256", {"kid": "one"})


@contextmanager
def catalog(processor: ElasticProcessor) -> Iterator[str]:
    """The catalogue's service on a filled processor's records and index; its URL."""
    keys = ThreadingHTTPServer(("127.0.0.1", 0), _Keys)
    thread = threading.Thread(target=keys.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{free_port()}"
    environment = {
        "BOOKWHEEL_DATABASE_URL": processor.records_url,
        "BOOKWHEEL_SEARCH_URL": processor.search_url,
        "BOOKWHEEL_REDIS_URL": processor.redis_url,
        "BOOKWHEEL_JWKS_URL": f"http://127.0.0.1:{keys.server_port}/",
        "BOOKWHEEL_STATE_DIR": str(processor.folder),
        "BOOKWHEEL_PORT": url.rpartition(":")[2],
    }
    log = processor.folder / "catalog.log"
    try:
        with running([_CATALOG, "serve"], log=log, ready=lambda: answers(f"{url}/livez"), environment=environment):
            yield url
    finally:
        keys.shutdown()
        thread.join()


def _words() -> list[str]:
    titles = [str(book.payload["title"]) for book in scraped_books(0, 300)]
    words = {max((word for word in title.split() if word.isalpha()), key=len, default="") for title in titles}
    return sorted(words - {""})


def _rate_of_median(search: Callable[[int], None], *, times: int = SEARCHES) -> float:
    """One over the median time of a search."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        search(number)
        taken.append(time.perf_counter() - began)
    return 1 / statistics.median(taken)


def _filled(folder: Path, server: str, redis_url: str) -> ElasticProcessor:
    processor = Filling(folder, redis_url, server).next()
    with processor.at_work():
        for start in range(0, BOOKS, STREAM_ITEMS):
            processor.take_in(f"run-{start}", scraped_books(start, STREAM_ITEMS))
    return processor


def search(processor: ElasticProcessor, url: str) -> list[Result]:
    """Of 100,000 books: words that no two requests share a filter with, so that nothing is cached."""
    words, rounds = _words(), count()
    headers = {"Authorization": f"Bearer {_token()}"}
    address = parse_address(processor.search_url)
    client = httpx.Client(base_url=url, headers=headers, timeout=30)
    raw_client = address.connect(timeout=30)

    def through_catalog() -> float:
        first = next(rounds) * SEARCHES

        def one(number: int) -> None:
            never_twice = f"stock:0..{1000 + first + number}"
            query = {"q": words[number % len(words)], "filter": never_twice, "limit": "20", "facet": "category"}
            client.get("/api/v1/books", params=query).raise_for_status()

        return _rate_of_median(one)

    def raw() -> float:
        first = next(rounds) * SEARCHES

        def one(number: int) -> None:
            selection = Selection(parse_text(words[number % len(words)]))
            plan = FacetPlan(selection, ("category",))
            query = scored(plan.wide)
            query["function_score"]["query"]["bool"]["filter"].append(
                {"range": {"stock": {"lte": 9000 + first + number}}}
            )
            raw_client.search(
                index=address.alias,
                query=query,
                size=21,
                sort=[{"_score": "desc"}, {"number": "asc"}],
                stored_fields=["body"],
                track_total_hits=True,
                aggs=plan.aggregations(),
            )

        return _rate_of_median(one)

    def uncached() -> float:
        number = next(rounds) * 100_000
        lua = f"""
local words = {{{", ".join(json.dumps(word) for word in words)}}}
local number = {number}
request = function()
  number = number + 1
  local word = words[number % #words + 1]
  return wrk.format(nil, "/api/v1/books?limit=20&facet=category&q=" .. word .. "&filter=stock:0.." .. number)
end
"""
        return requests_per_second(url, headers=headers, script=lua)

    cached_url = f"{url}/api/v1/books?limit=20&facet=category&q={words[0]}"
    return [
        compare(
            "search p50 on Elasticsearch, or the raw query",
            ours=through_catalog,
            floor=raw,
            bound=1 / 1.5,
            unit="1/p50 s",
            rounds=3,
        ),
        compare(
            "search on Elasticsearch, cached or not",
            ours=lambda: requests_per_second(cached_url, headers=headers),
            floor=uncached,
            bound=4,
            unit="requests/s",
            rounds=3,
        ),
    ]


def reindex(processor: ElasticProcessor, url: str) -> list[Result]:
    """One over the p95 of searches while the index is built anew, beside the same while nothing else happens."""
    words, numbers = _words(), count()
    client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {_token()}"}, timeout=30)

    def times(goes_on: Callable[[], bool]) -> list[float]:
        taken = []
        while goes_on():
            number = next(numbers)
            query = {"q": words[number % len(words)], "filter": f"stock:0..{1_000_000 + number}", "facet": "category"}
            began = time.perf_counter()
            client.get("/api/v1/books", params=query).raise_for_status()
            taken.append(time.perf_counter() - began)
            time.sleep(0.02)
        return taken

    def p95(taken: list[float]) -> float:
        return sorted(taken)[int(len(taken) * 0.95)]

    def steady() -> float:
        end = time.monotonic() + 10
        return 1 / p95(times(lambda: time.monotonic() < end))

    def rebuilding() -> float:
        failed: list[BaseException] = []

        def build() -> None:
            engine = connect_database(processor.records_url)
            redis = connect_redis(processor.redis_url)
            try:
                with open_index_build(processor.search_url) as made:
                    Projection(ChangeFeed(engine), Generation(redis), 2000).rebuild(made)
            except BaseException as error:
                failed.append(error)
                raise
            finally:
                engine.dispose()
                redis.close()

        builder = threading.Thread(target=build)
        builder.start()
        taken = times(builder.is_alive)
        builder.join()
        if failed:
            raise failed[0]
        return 1 / p95(taken)

    steady()
    pairs = [(rebuilding(), steady()) for _ in range(3)]
    name = "search p95 while the index is built, or not"
    return [result(name, [pair[0] for pair in pairs], [pair[1] for pair in pairs], bound=1 / 1.5, unit="1/p95 s")]


def main(wanted: list[str]) -> None:
    wanted = wanted or ["bulk", "search", "reindex"]
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        server, _ = stack.enter_context(running_elasticsearch())
        redis_url = stack.enter_context(redis_server(folder / "redis"))
        if "bulk" in wanted:
            save(bulk(folder / "bulk", server, redis_url))
        measures: dict[str, Any] = {"search": search, "reindex": reindex}
        if chosen := [measures[each] for each in wanted if each in measures]:
            processor = _filled(folder / "search", server, redis_url)
            if open_index_reader(processor.search_url).search(SearchQuery(Selection(), Sort.NEWEST, 1)).total != BOOKS:
                raise RuntimeError("the index is not full")
            with catalog(processor) as url:
                for measure in chosen:
                    save(measure(processor, url))


if __name__ == "__main__":
    main(sys.argv[1:])
