"""Fixtures that several services' tests share."""

import functools
import ssl
from collections.abc import Iterator

import pytest
import structlog
from redis import Redis

from bookwheel_testing.servers import free_port, redis_answers, redis_command, running

pytest_plugins = ("bookwheel_testing.record_fixtures", "bookwheel_testing.scheduling")


def pytest_configure() -> None:
    """Speeds up tests.

    Logs have plain tracebacks: structlog's tracebacks with all locals take seconds each. Certificates are loaded once:
    otherwise every `httpx.get` takes 40 ms of CPU time.
    """
    ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]
    *processors, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, plain])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests with `slow_on(engine)` as slow if they run on that engine. Runs before `-m` selects tests."""
    for item in items:
        engines = {engine for marker in item.iter_markers("slow_on") for engine in marker.args}
        parameters = item.callspec.params.values() if isinstance(item, pytest.Function) and engines else ()
        if engines & set(map(str, parameters)):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def _redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("redis")
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with running(redis_command(port, directory), log=directory / "redis.log", ready=lambda: redis_answers(url)):
        yield url


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """The URL of this session's Redis server. It is empty at the start of each test."""
    client = Redis.from_url(_redis_server)
    client.flushall()
    client.close()
    return _redis_server
