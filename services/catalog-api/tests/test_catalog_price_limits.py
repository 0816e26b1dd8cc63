"""Tests of the limits of price statistics."""

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from bookwheel_catalog.statistics import price_trends
from bookwheel_contracts.problems import UnavailableError
from bookwheel_stores.records import BookReader, connect_database
from bookwheel_stores.search.queries import SearchCriteria
from bookwheel_testing.internal_tokens import internal_token
from sqlalchemy import event

YEAR = "/stats/prices?from=2025-06-01&to=2026-06-01"


async def test_price_trend_needs_one_query_and_is_cached(
    filled: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM observation" in statement:
            statements.append(statement)

    original = BookReader.price_trend

    def counted(self: BookReader, **arguments: Any) -> Any:
        event.listen(self._engine, "before_cursor_execute", count)
        try:
            return original(self, **arguments)
        finally:
            event.remove(self._engine, "before_cursor_execute", count)

    monkeypatch.setattr(BookReader, "price_trend", counted)
    first = await client.get(YEAR)
    assert first.status_code == 200
    assert len(statements) == 1
    assert (await client.get(YEAR)).content == first.content
    assert len(statements) == 1


async def test_many_price_trends_do_not_block_other_routes(
    filled: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_released, started = threading.Event(), threading.Semaphore(0)
    names: list[str] = []

    def block(_self: BookReader, **_: Any) -> list[Any]:
        names.append(threading.current_thread().name)
        started.release()
        is_released.wait(30)
        return []

    monkeypatch.setattr(BookReader, "price_trend", block)
    paths = [f"{YEAR}&filter=stock:0..{number}" for number in range(1000, 1040)]
    others = {"Authorization": f"Bearer {internal_token(subject='user:2')}"}
    flood = [asyncio.create_task(client.get(path)) for path in paths]
    try:
        for _ in range(2):
            assert await asyncio.to_thread(started.acquire, timeout=20)
        book = await client.get("/books/demo:1", headers=others)
        history = await client.get("/books/demo:1/history", headers=others)
    finally:
        is_released.set()
    responses = await asyncio.gather(*flood)
    assert (book.status_code, history.status_code) == (200, 200)
    assert len(names) == 2
    assert all(name.startswith("price-trend") for name in names)
    assert sorted(response.status_code for response in responses) == [200] * 2 + [429] * 38
    assert all("retry-after" in response.headers for response in responses if response.status_code == 429)


async def test_price_trend_over_the_time_limit_returns_503(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_self: BookReader, **_: Any) -> list[Any]:
        time.sleep(0.3)
        return []

    monkeypatch.setattr(BookReader, "price_trend", slow)
    service = price_trends.PriceTrendService(BookReader(filled.engine), timeout_seconds=0.1)
    query = price_trends.PriceTrendQuery(
        SearchCriteria(), "day", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    )
    with pytest.raises(UnavailableError):
        await service.get(None, query, subject="user:1")  # type: ignore[arg-type]  # not used without criteria
    service.close()


def test_database_cancels_a_query_over_the_time_limit(stores: Any) -> None:
    engine = connect_database(stores.environment["BOOKWHEEL_DATABASE_URL"])
    for number in range(200):
        stores.add(key=str(number), observed=20, title=f"Book {number}", price=number * 100, stock=1)
    reader = BookReader(engine)
    span: dict[str, Any] = {"start": datetime(2025, 6, 1, tzinfo=UTC), "end": datetime(2026, 6, 1, tzinfo=UTC)}
    with pytest.raises(TimeoutError):
        reader.price_trend(book_numbers=None, interval="day", **span, timeout_seconds=0.0)
    assert reader.price_trend(book_numbers=None, interval="day", **span), "the connection is as good as before"
    engine.dispose()
