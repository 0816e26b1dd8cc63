"""Search indices of both engines, for tests that run on both."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bookwheel_testing.engines import new_index_prefix

SEARCH_ENGINES = ("tantivy", "elasticsearch")


@contextmanager
def elasticsearch_url(server: str) -> Iterator[str]:
    """Yields the URL of an index that does not exist yet. The index is deleted at the end.

    `server` is the URL of the fixture `elasticsearch_server`.
    """
    with new_index_prefix(server) as prefix:
        yield f"{server.replace('http://', 'elasticsearch://')}/{prefix}"


@contextmanager
def engine_url(engine: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Yields the URL of an index that does not exist yet: Tantivy's in the folder, or Elasticsearch's."""
    if engine == "tantivy":
        yield f"tantivy://{folder}"
        return
    with elasticsearch_url(request.getfixturevalue("elasticsearch_server")) as url:
        yield url


@pytest.fixture(scope="module", params=SEARCH_ENGINES)
def search_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an index that does not exist yet. Tests run on each engine and share the index."""
    with engine_url(request.param, request, tmp_path_factory.mktemp("index")) as url:
        yield url


@pytest.fixture(params=SEARCH_ENGINES)
def new_search_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Like `search_url`, with a new index for every test."""
    with engine_url(request.param, request, tmp_path) as url:
        yield url
