"""Messages of a scraper, and the dependencies of the worker's jobs."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts import Expectations, RawItem, RunFinished, RunPages, RunStarted, RunState
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.worker.dependencies import Dependencies, create_dependencies
from bookwheel_stores.records import upgrade_database
from bookwheel_stores.streams import StreamEntry, StreamWriter

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Scraped:
    """Creates the messages of runs. Times are minutes after `START`."""

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
        fields = {"key": f"upc-{number}", "title": f"Book {number}", "price": "£10.00", "availability": "In stock"}
        fields |= payload
        return RawItem(
            run_id=run,
            item_number=number,
            source=source,
            site=site,
            url=f"http://shop.example/catalogue/{fields['key']}/index.html",
            scraped_at=START + timedelta(minutes=minute),
            payload={name: value for name, value in fields.items() if value is not None},
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
        """Create the entries of a run from `minute` to `minute + 4` that sees these books, each with this payload."""
        expect = options.pop("expect", {})
        state = options.pop("state", RunState.COMPLETE)
        items = [
            self.item(number, run=run, minute=minute + 1, **{"key": f"upc-{key}", "title": f"Book {key}"} | options)
            for number, key in enumerate(keys, 1)
        ]
        started = self.started(run, minute=minute, whole=whole, **expect)
        return self.entries(started, *items, self.finished(run, scraped=len(items), minute=minute + 4, state=state))

    def entries(self, *messages: RawItem | RunStarted | RunPages | RunFinished | bytes) -> list[StreamEntry]:
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
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bookwheel.sqlite'}"


@pytest.fixture
def search_url(tmp_path: Path) -> str:
    return f"tantivy://{tmp_path / 'index'}"


@pytest.fixture
def job_settings() -> dict[str, Any]:
    """Settings of the jobs that differ from the defaults."""
    return {}


@pytest.fixture
def triggers() -> list[str]:
    """The tasks that the jobs have triggered."""
    return []


@pytest.fixture
def dependencies(
    tmp_path: Path,
    redis_url: str,
    database_url: str,
    search_url: str,
    job_settings: dict[str, Any],
    triggers: list[str],
) -> Iterator[Dependencies]:
    settings = ProcessorSettings(
        database_url=database_url, search_url=search_url, redis_url=redis_url, state_dir=tmp_path, **job_settings
    )
    dependencies = create_dependencies(
        settings,
        trigger_ingest=lambda: triggers.append("ingest"),
        trigger_projection=lambda: triggers.append("project"),
    )
    upgrade_database(dependencies.engine)
    yield dependencies
    dependencies.engine.dispose()
    dependencies.redis.close()


@pytest.fixture
def publish(dependencies: Dependencies) -> Callable[..., None]:
    def publish(*messages: Any) -> None:
        StreamWriter(dependencies.redis, RAW_STREAM).publish([message.model_dump_json() for message in messages])

    return publish
