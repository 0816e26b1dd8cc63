"""A small catalog in a real database, search index and Redis, and its API."""

import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_catalog.app import create_app
from bookwheel_catalog.settings import CatalogSettings
from bookwheel_contracts import BOOK_DETAILS
from bookwheel_stores.cache import Generation
from bookwheel_stores.records import ChangeFeed, connect_database, upgrade_database
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.tables import book, offer
from bookwheel_stores.records.values import to_millis
from bookwheel_stores.search import open_index_writer
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.internal_tokens import ISSUER, internal_token, serving_keys
from sqlalchemy import Engine, select, update

START = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)

MakeToken = Callable[..., str]

BOOKS: list[dict[str, Any]] = [
    {"key": "1", "title": "The Moon", "category": "Science", "price": 105_000, "rating": 4.0, "stock": 3},
    {"key": "2", "title": "The Moon over Łódź", "category": "Fiction", "price": 200_000, "rating": 5.0, "stock": 0},
    {"key": "3", "title": "Tides & <Stars>", "category": "Science", "price": 199_900, "rating": None, "stock": None},
    {"key": "4", "title": "猫", "category": None, "price": None, "rating": 1.5, "stock": 7},
    {"key": "a/b c?d#e", "title": "Slashes", "category": "Science", "price": 50_000, "currency": "EUR", "stock": 1},
]


@pytest.fixture(scope="session")
def jwks_url() -> Iterator[str]:
    with serving_keys() as url:
        yield url


@pytest.fixture(scope="session")
def make_token() -> MakeToken:
    return internal_token


@dataclass(frozen=True)
class Suite:
    """The stores of an API. The methods fill them like the processor."""

    environment: Mapping[str, str]
    engine: Engine

    def add(self, *, key: str, observed: int = 1, **facts: Any) -> None:
        """Adds a book with one offer, observed on `observed` days with a rising price."""
        seen = to_millis(START)
        price = facts.get("price")
        offered = {
            "price": price,
            "currency": facts.get("currency", "GBP") if price is not None else None,
            "stock": facts.get("stock"),
            "in_stock": bool(facts.get("stock")),
        }
        book_row = {
            **dict.fromkeys(BOOK_DETAILS),
            **{name: value for name, value in facts.items() if name not in {"price", "currency", "stock"}},
            **offered,
            "book_id": f"demo:{key}",
            "authors": json.dumps(facts.get("authors", ["Ann Lee"])),
            "first_seen": seen,
            "last_changed": seen,
            "revision": 1,
            "removed_at": None,
        }
        offer_row = {
            **offered,
            "source": "demo",
            "source_key": key,
            "url": f"http://shop.example/{key}",
            "content": "{}",
            "fingerprint": "",
            "first_seen": seen,
            "last_seen": seen,
            "last_run": "run",
            "last_item": 1,
        }
        with self.engine.begin() as connection:
            writer = CatalogWriter(connection)
            number = writer.add_books([book_row])[f"demo:{key}"]
            offer_number = writer.add_offers([{**offer_row, "book_number": number}])["demo", key]
            for day in range(observed):
                moment = to_millis(START + timedelta(days=day))
                observation = {**offered, "price": None if price is None else price + day * 10_000}
                writer.add_observations(
                    [{"offer_number": offer_number, "observed_at": moment, **observation}],
                    superseding={offer_number} if day else (),
                )
            change = {"book_number": number, "revision": 1, "kind": "added", "fields": "[]"}
            writer.add_changes([{**change, "changed_at": seen, "run_id": "run"}])

    def add_offer(self, book_id: str, *, source: str) -> None:
        """Adds an offer of a book, observed in the same millisecond as its first offer."""
        seen = to_millis(START)
        offered = {"price": 100_000, "currency": "GBP", "stock": 1, "in_stock": True}
        row: dict[str, Any] = {
            "source": source,
            "source_key": book_id,
            "url": f"http://{source}.example/",
            "content": "{}",
        }
        row |= {"fingerprint": "", "first_seen": seen, "last_seen": seen, "last_run": "run", "last_item": 1}
        with self.engine.begin() as connection:
            writer = CatalogWriter(connection)
            [number] = connection.execute(select(book.c.number).where(book.c.book_id == book_id)).scalars()
            [added] = writer.add_offers([{**row, **offered, "book_number": number}]).values()
            writer.add_observations([{"offer_number": added, "observed_at": seen, **offered}], superseding=())

    def mark_seen(self, source: str, moment: datetime) -> None:
        """Sets the time when the source's offers were last seen. Their content is unchanged."""
        with self.engine.begin() as connection:
            connection.execute(update(offer).where(offer.c.source == source).values(last_seen=to_millis(moment)))

    def project(self) -> int:
        """Writes all books to the index. Returns the new generation."""
        with open_index_writer(self.environment["BOOKWHEEL_SEARCH_URL"]) as writer:
            writer.apply(ChangeFeed(self.engine).list_books(after_number=0, limit=1000))
        with connect_redis(self.environment["BOOKWHEEL_REDIS_URL"]) as redis:
            return Generation(redis).advance()


@pytest.fixture(scope="session")
def empty_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a database with empty tables to copy: creating the tables takes longer than most tests."""
    path = tmp_path_factory.mktemp("records") / "bookwheel.sqlite"
    engine = connect_database(f"sqlite:///{path}")
    upgrade_database(engine)
    engine.dispose()
    return path


@pytest.fixture
def suite(tmp_path: Path, redis_url: str, jwks_url: str, empty_records: Path) -> Iterator[Suite]:
    shutil.copy(empty_records, tmp_path / "bookwheel.sqlite")
    environment = {
        "BOOKWHEEL_DATABASE_URL": f"sqlite:///{tmp_path}/bookwheel.sqlite",
        "BOOKWHEEL_SEARCH_URL": f"tantivy://{tmp_path}/index",
        "BOOKWHEEL_REDIS_URL": redis_url,
        "BOOKWHEEL_JWKS_URL": jwks_url,
        "BOOKWHEEL_ISSUER": ISSUER,
    }
    engine = connect_database(environment["BOOKWHEEL_DATABASE_URL"])
    yield Suite(environment, engine)
    engine.dispose()


@pytest.fixture
def filled(suite: Suite) -> Suite:
    for facts in BOOKS:
        suite.add(**facts)
    suite.project()
    return suite


MakeClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def make_client(make_token: MakeToken) -> MakeClient:
    """Returns a factory of clients. A client calls an API in this process with the scope `catalog:read`."""

    @asynccontextmanager
    async def make(suite: Suite, **settings: str) -> AsyncIterator[httpx.AsyncClient]:
        names = {name.removeprefix("BOOKWHEEL_").lower(): value for name, value in suite.environment.items()}
        app = create_app(CatalogSettings(**names | settings))  # type: ignore[arg-type]  # as from the environment
        headers = {"Authorization": f"Bearer {make_token()}"}
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://catalog/api/v1", headers=headers) as client,
        ):
            yield client

    return make


@pytest.fixture
async def client(suite: Suite, make_client: MakeClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API on `suite`. A test that uses `filled` before it has books."""
    async with make_client(suite) as client:
        yield client
