"""Items as a scraper would publish them, and records to take them into."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts import RawItem, RunFinished, RunStarted, RunState
from bookwheel_stores.records import connect_database, upgrade_database
from bookwheel_stores.streams import StreamEntry
from sqlalchemy import Engine

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


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = connect_database(f"sqlite:///{tmp_path / 'data' / 'bookwheel.sqlite'}")
    upgrade_database(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def new_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Engine]]:
    """Makes any number of empty records, for tests that need one per example."""
    folder = tmp_path_factory.mktemp("records")
    template = connect_database(f"sqlite:///{folder / 'template.sqlite'}")
    upgrade_database(template)
    template.dispose()
    made: list[Engine] = []

    def make() -> Engine:
        path = folder / f"{len(made)}.sqlite"
        shutil.copy(folder / "template.sqlite", path)
        made.append(connect_database(f"sqlite:///{path}"))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()
