"""The catalog on Elasticsearch: the same responses, also when Elasticsearch becomes unavailable."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_stores.search.elasticsearch.address import parse_address
from bookwheel_testing.catalog_stores import CatalogStores
from bookwheel_testing.internal_tokens import internal_token
from bookwheel_testing.search import elasticsearch_url
from bookwheel_testing.servers import answers, free_port, running

CATALOG = [sys.executable, "-c", "from bookwheel_catalog.cli import main; main()", "serve"]
PATHS = (
    "/books?q=moon&facet=category&facet=price&facet=author",
    "/books?sort=-price&limit=2",
    "/books?filter=category:Science&facet=category",
    "/books/price-range?min=1&max=100",
    "/categories",
    "/suggest?q=mo",
    "/stats/overview",
    "/stats/categories",
    "/sources",
)


@pytest.fixture
def cluster(filled: Any, elasticsearch_server: str) -> Iterator[CatalogStores]:
    """The stores of `filled` with Elasticsearch as search index."""
    with elasticsearch_url(elasticsearch_server) as url:
        cluster_suite = replace(filled, environment={**filled.environment, "BOOKWHEEL_SEARCH_URL": url})
        cluster_suite.project()
        yield cluster_suite


@contextmanager
def catalog(stores: CatalogStores, token: str, folder: Path, **more: str) -> Iterator[httpx.Client]:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    environment = {**stores.environment, "BOOKWHEEL_PORT": str(port), **more}
    log = folder / f"catalog-{port}.log"
    with (
        running(CATALOG, log=log, ready=lambda: answers(f"{base}/livez"), environment=environment),
        httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client,
    ):
        yield client


def test_both_engines_give_the_same_responses(filled: CatalogStores, cluster: CatalogStores, tmp_path: Path) -> None:
    uncached = cluster.environment["BOOKWHEEL_REDIS_URL"].replace(
        "/0", "/1"
    )  # otherwise both would use the same cached responses
    with (
        catalog(filled, internal_token(), tmp_path) as embedded,
        catalog(cluster, internal_token(), tmp_path, BOOKWHEEL_REDIS_URL=uncached) as clustered,
    ):
        for path in PATHS:
            response, expected = clustered.get(f"/api/v1{path}"), embedded.get(f"/api/v1{path}")
            assert response.status_code == 200
            content, expected_content = response.json(), expected.json()
            cursors = content.pop("next", None), expected_content.pop("next", None)
            assert content == expected_content, path
            assert (cursors[0] is None) == (cursors[1] is None)
            if cursors[0]:
                page = clustered.get(f"/api/v1{path}&cursor={cursors[0]}").json()
                assert page["items"] == embedded.get(f"/api/v1{path}&cursor={cursors[1]}").json()["items"]


def test_unavailable_elasticsearch_returns_503_until_it_is_available(cluster: CatalogStores, tmp_path: Path) -> None:
    url = cluster.environment["BOOKWHEEL_SEARCH_URL"]
    port, (_, _, upstream) = free_port(), parse_address(url).server.rpartition(":")
    proxy = [sys.executable, "-m", "bookwheel_testing.elasticsearch_faults", str(port), upstream, "0", "0", "0"]
    ready = f"http://127.0.0.1:{port}/-/faults"
    proxy_url = url.replace(f":{upstream}", f":{port}")
    with catalog(cluster, internal_token(), tmp_path, BOOKWHEEL_SEARCH_URL=proxy_url) as client:
        for _ in range(2):
            response = client.get("/api/v1/books?q=tides")
            assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
            assert response.headers["retry-after"]
            assert (response.json()["code"], upstream in response.text) == ("unavailable", False)
            unready = client.get("/readyz")
            assert unready.status_code == 503
            assert "is unavailable" in unready.json()["checks"]["search"]
            assert client.get("/api/v1/books/demo:1").status_code == 200, "a book is read from the database"
            with running(proxy, log=tmp_path / "proxy.log", ready=lambda: answers(ready)):
                assert client.get("/readyz").status_code == 200
                response = client.get("/api/v1/books?q=moon")
                assert (response.status_code, response.json()["total"]["value"]) == (200, 2)


async def test_operator_requests_an_index_build(client: httpx.AsyncClient, stores: Any) -> None:
    forbidden = await client.post("/search/reindex")
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    headers = {"Authorization": f"Bearer {internal_token('admin')}"}
    response = await client.post("/search/reindex", headers=headers)
    assert (response.status_code, response.json()["state"], response.json()["requested_by"]) == (
        202,
        "queued",
        "user:1",
    )
    followed = await client.get(response.headers["location"].removeprefix("/api/v1"), headers=headers)
    assert followed.json() == response.json()
    missing = await client.get("/search/reindex/0123", headers=headers)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
