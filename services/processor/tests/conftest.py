"""Items as a scraper would publish them, and records to take them into."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from bookwheel_contracts import Expectations, RawItem, RunFinished, RunStarted, RunState
from bookwheel_stores.streams import StreamEntry

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Scraped:
    """Makes the messages of runs. Times are minutes after `START`."""

    def __init__(self) -> None:
        self._entry_ids = count(1)

    def item(
        self,
        number: int,
        *,
        run: str = "run-1",
        minute: float = 0,
        source: str = "shop",
        site: str | None = None,
        **payload: Any,
    ) -> RawItem:
        found = {"key": f"upc-{number}", "title": f"Book {number}", "price": "£10.00", "availability": "In stock"}
        found |= payload
        return RawItem(
            run_id=run,
            item_number=number,
            source=source,
            site=site,
            url=f"http://shop.example/catalogue/{found['key']}/index.html",
            scraped_at=START + timedelta(minutes=minute),
            payload={name: value for name, value in found.items() if value is not None},
            fingerprint="0" * 64,
            traceparent=TRACEPARENT,
        )

    def started(self, run: str = "run-1", *, minute: float = 0, whole: bool = True, **expect: Any) -> RunStarted:
        return RunStarted(
            run_id=run,
            source="shop",
            start_url="http://shop.example/",
            started_at=START + timedelta(minutes=minute),
            whole_source=whole,
            expect=Expectations(**expect),
            traceparent=TRACEPARENT,
        )

    def finished(
        self,
        run: str = "run-1",
        *,
        scraped: int,
        minute: float = 1,
        state: RunState = RunState.COMPLETE,
        start: RunStarted | None = None,
    ) -> RunFinished:
        return RunFinished(
            run_id=run,
            source="shop",
            finished_at=START + timedelta(minutes=minute),
            state=state,
            reason=None,
            scraped=scraped,
            pages=scraped,
            errors=0,
            start=start,
            traceparent=TRACEPARENT,
        )

    def crawl(
        self, run: str, keys: Iterable[int], *, minute: float = 0, whole: bool = True, **options: Any
    ) -> list[StreamEntry]:
        """A whole run that sees these books, each with the given payload, at its minute and the four after it."""
        expect = options.pop("expect", {})
        state = options.pop("state", RunState.COMPLETE)
        items = [
            self.item(number, run=run, minute=minute + 1, **{"key": f"upc-{key}", "title": f"Book {key}"} | options)
            for number, key in enumerate(keys, 1)
        ]
        started = self.started(run, minute=minute, whole=whole, **expect)
        return self.entries(started, *items, self.finished(run, scraped=len(items), minute=minute + 4, state=state))

    def entries(self, *messages: RawItem | RunStarted | RunFinished | bytes) -> list[StreamEntry]:
        return [
            StreamEntry(
                f"{next(self._entry_ids)}-0",
                message if isinstance(message, bytes) else message.model_dump_json().encode(),
                1,
            )
            for message in messages
        ]


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()
