"""Search indices of both engines, for tests of their common contract."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

SEARCH_ENGINES = ("tantivy", "elasticsearch")
_SECONDS = 60


@contextmanager
def elasticsearch_url(server: str) -> Iterator[str]:
    """The address of an index that does not exist yet; it is deleted at the end.

    `server` is the URL of the fixture `elasticsearch_server`.
    """
    prefix = f"t{uuid4().hex[:12]}-"
    yield f"{server.replace('http://', 'elasticsearch://')}/{prefix}"
    names = httpx.get(f"{server}/_cat/indices/{prefix}*?h=index&expand_wildcards=all", timeout=_SECONDS)
    for name in names.text.split():
        httpx.delete(f"{server}/{name}", timeout=_SECONDS).raise_for_status()


@contextmanager
def engine_url(engine: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The address of an index of `tantivy`, in the folder, or of `elasticsearch`; it does not exist yet."""
    if engine == "tantivy":
        yield f"tantivy://{folder}"
        return
    with elasticsearch_url(request.getfixturevalue("elasticsearch_server")) as url:
        yield url


@pytest.fixture(scope="module", params=SEARCH_ENGINES)
def search_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an index that does not exist yet. Tests run once with each engine and share the index."""
    with engine_url(request.param, request, tmp_path_factory.mktemp("index")) as url:
        yield url


@pytest.fixture(params=SEARCH_ENGINES)
def new_search_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Like `search_url`, with a new index for every test."""
    with engine_url(request.param, request, tmp_path) as url:
        yield url
