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
    """Speeds up tests: plain tracebacks in logs, since structlog's with all locals take seconds each; and certificates
    that are loaded once, instead of 40 ms of CPU time for every `httpx.get`.
    """
    ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]
    *processors, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, plain])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests with `slow_on(engine)` as slow where they run on that engine. Runs before `-m` selects."""
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
    """The URL of a real Redis of this test session, empty at the start of each test."""
    client = Redis.from_url(_redis_server)
    client.flushall()
    client.close()
    return _redis_server
