"""A small catalog in a real database, search index and Redis, and its API."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_catalog.app import create_app
from bookwheel_catalog.settings import CatalogSettings
from bookwheel_stores.records import connect_database, upgrade_database
from bookwheel_testing.catalog_stores import CatalogStores
from bookwheel_testing.internal_tokens import ISSUER, internal_token, serving_keys

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
def empty_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a database with empty tables to copy: creating the tables takes longer than most tests."""
    path = tmp_path_factory.mktemp("records") / "bookwheel.sqlite"
    engine = connect_database(f"sqlite:///{path}")
    upgrade_database(engine)
    engine.dispose()
    return path


@pytest.fixture
def stores(tmp_path: Path, redis_url: str, jwks_url: str, empty_records: Path) -> Iterator[CatalogStores]:
    shutil.copy(empty_records, tmp_path / "bookwheel.sqlite")
    environment = {
        "BOOKWHEEL_DATABASE_URL": f"sqlite:///{tmp_path}/bookwheel.sqlite",
        "BOOKWHEEL_SEARCH_URL": f"tantivy://{tmp_path}/index",
        "BOOKWHEEL_REDIS_URL": redis_url,
        "BOOKWHEEL_JWKS_URL": jwks_url,
        "BOOKWHEEL_ISSUER": ISSUER,
    }
    engine = connect_database(environment["BOOKWHEEL_DATABASE_URL"])
    yield CatalogStores(environment, engine)
    engine.dispose()


@pytest.fixture
def filled(stores: CatalogStores) -> CatalogStores:
    for facts in BOOKS:
        stores.add(**facts)
    stores.project()
    return stores


MakeClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def make_client() -> MakeClient:
    """Returns a factory of clients. A client calls an API in this process with the scope `catalog:read`."""

    @asynccontextmanager
    async def make(stores: CatalogStores, **settings: str) -> AsyncIterator[httpx.AsyncClient]:
        names = {name.removeprefix("BOOKWHEEL_").lower(): value for name, value in stores.environment.items()}
        app = create_app(CatalogSettings(**names | settings))  # type: ignore[arg-type]  # as from the environment
        headers = {"Authorization": f"Bearer {internal_token()}"}
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://catalog/api/v1", headers=headers) as client,
        ):
            yield client

    return make


@pytest.fixture
async def client(stores: CatalogStores, make_client: MakeClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API on `stores`. A test that uses `filled` before it has books."""
    async with make_client(stores) as client:
        yield client
