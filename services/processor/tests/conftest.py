"""Items as a scraper would publish them, and records to take them into."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from bookwheel_contracts import RawItem, RunFinished, RunStarted, RunState
from bookwheel_stores.streams import StreamEntry

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Scraped:
    """Makes the messages of runs. Times are minutes after `START`."""

    def __init__(self) -> None:
        self._entry_ids = count(1)

    def item(
        self, number: int, *, run: str = "run-1", minute: float = 0, source: str = "shop", **payload: Any
    ) -> RawItem:
        found = {"key": f"upc-{number}", "title": f"Book {number}", "price": "£10.00", "availability": "In stock"}
        found |= payload
        return RawItem(
            run_id=run,
            item_number=number,
            source=source,
            url=f"http://shop.example/catalogue/{found['key']}/index.html",
            scraped_at=START + timedelta(minutes=minute),
            payload={name: value for name, value in found.items() if value is not None},
            fingerprint="0" * 64,
            traceparent=TRACEPARENT,
        )

    def started(self, run: str = "run-1", *, minute: float = 0) -> RunStarted:
        return RunStarted(
            run_id=run,
            source="shop",
            start_url="http://shop.example/",
            started_at=START + timedelta(minutes=minute),
            traceparent=TRACEPARENT,
        )

    def finished(self, run: str = "run-1", *, scraped: int, minute: float = 1) -> RunFinished:
        return RunFinished(
            run_id=run,
            source="shop",
            finished_at=START + timedelta(minutes=minute),
            state=RunState.COMPLETE,
            reason=None,
            scraped=scraped,
            pages=scraped,
            errors=0,
            traceparent=TRACEPARENT,
        )

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
