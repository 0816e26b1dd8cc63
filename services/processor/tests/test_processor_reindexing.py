"""The index is rebuilt while searches run, compared with the records and repaired, on each search engine."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from bookwheel_contracts import BookState, ReindexJob, ReindexRequest, ReindexState
from bookwheel_contracts.redis_keys import INDEX_SWEEP_KEY, RAW_STREAM, REINDEX_LOCK_KEY, REINDEX_STREAM, reindex_key
from bookwheel_processor.replay import Replay, ReplayResult
from bookwheel_processor.search_index.comparison import IndexComparer
from bookwheel_processor.search_index.projection import IndexMismatchError
from bookwheel_processor.search_index.reindexing import Reindexing, ReindexInProgressError
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.ingest_job import run_ingest
from bookwheel_processor.worker.jobs import run_projection, run_reindexing, run_sweep
from bookwheel_processor.worker.suite_metrics import SuiteMetrics
from bookwheel_stores.records import SEARCH_PROJECTION, RejectedBooks
from bookwheel_stores.records.runs.quarantine import (
    REJECTED_BY_INDEX_CODE,
    QuarantineFilter,
    QuarantineState,
    QuarantineStore,
)
from bookwheel_stores.records.values import utc_now
from bookwheel_stores.search import IndexBuild, IndexWriter, RejectedBook, open_index_build, open_index_reader
from bookwheel_stores.search.queries import SearchCriteria, SearchQuery, Sort
from bookwheel_stores.search.text import parse_text
from bookwheel_stores.streams import StreamWriter
from bookwheel_testing.consistency import check_consistent
from sqlalchemy import text

BOOKS = 400


@pytest.fixture
def search_url(new_search_url: str) -> str:
    return new_search_url


@pytest.fixture
def job_settings() -> dict[str, Any]:
    return {"projection_batch": 60}


@pytest.fixture
def publish(dependencies: Dependencies) -> Callable[..., None]:
    def publish(*messages: Any) -> None:
        StreamWriter(dependencies.redis, RAW_STREAM).publish([message.model_dump_json() for message in messages])
        run_ingest(dependencies)
        run_projection(dependencies)

    return publish


@pytest.fixture
def filled(dependencies: Dependencies, publish: Callable[..., None], scraped: Any) -> Dependencies:
    publish(*(scraped.item(number) for number in range(1, BOOKS + 1)))
    return dependencies


def differing(dependencies: Dependencies) -> tuple[int, ...]:
    with dependencies.open_index() as index:
        up_to = dependencies.projection.feed.cursor(SEARCH_PROJECTION)
        return IndexComparer(dependencies.projection.feed).compare(index, up_to=up_to).differing


@contextmanager
def searching(url: str, counts: list[int], failures: list[BaseException]) -> Iterator[None]:
    """Search repeatedly in threads, with a reload before each search, as the catalog API does."""
    ended = threading.Event()

    def search() -> None:
        index = open_index_reader(url)
        while not ended.wait(0.02):
            try:
                index.reload()
                query = SearchQuery(SearchCriteria(parse_text("book")), Sort.RELEVANCE, 10, facets=("price", "source"))
                counts.append(index.search(query).total)
            except Exception as error:  # noqa: BLE001 - the test fails on any error
                failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_no_search_fails_or_misses_a_book_during_a_rebuild(
    filled: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    counts: list[int] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def ingest() -> None:
        number = BOOKS
        while not stop.is_set():
            publish(*(scraped.item(number + n, run="run-2", minute=number) for n in range(1, 21)))
            number += 20

    with searching(filled.settings.search_url, counts, failures):
        ingesting = threading.Thread(target=ingest)
        ingesting.start()
        try:
            for _ in range(2):
                assert filled.reindexing.run(timeout=60) >= BOOKS
        finally:
            stop.set()
            ingesting.join()
    run_projection(filled)
    assert failures == []
    assert len(counts) > 10
    assert min(counts) >= BOOKS
    assert differing(filled) == ()
    with filled.open_index() as index:
        assert index.count() > BOOKS


def niceness() -> int:
    """The niceness of the calling thread."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_a_build_runs_at_low_priority(filled: Dependencies) -> None:
    build_niceness: list[int] = []

    def open_build() -> IndexBuild:
        build_niceness.append(niceness())
        return open_index_build(filled.settings.search_url)

    before = niceness()
    assert Reindexing(filled.redis, filled.projection, open_build).run() == BOOKS
    assert build_niceness == [max(10, before)]
    assert niceness() == before


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Interrupt the main thread; return once the main thread handles the interrupt."""
    is_handled = threading.Event()

    def handle(_number: int, _frame: object) -> None:
        is_handled.set()
        raise KeyboardInterrupt

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert is_handled.wait(60)
        time.sleep(0.3)

    previous_handler = signal.signal(signal.SIGINT, handle)
    yield interrupt
    signal.signal(signal.SIGINT, previous_handler)


def test_a_build_that_is_interrupted_leaves_the_old_index(filled: Dependencies, interrupt: Callable[[], None]) -> None:
    def open_build() -> IndexBuild:
        interrupt()
        return open_index_build(filled.settings.search_url)

    generation = filled.projection.generation.current()
    with pytest.raises(KeyboardInterrupt):
        Reindexing(filled.redis, filled.projection, open_build).run()
    assert filled.projection.generation.current() == generation
    assert filled.reindexing.run() == BOOKS, "the lock was released"


def test_an_interrupt_while_the_build_thread_starts_does_not_release_the_lock_early(
    filled: Dependencies, monkeypatch: pytest.MonkeyPatch, interrupt: Callable[[], None]
) -> None:
    """On a busy machine the build may be interrupted before the main thread has returned from starting its thread."""
    start_thread = threading.Thread.start

    def start_slowly(thread: threading.Thread) -> None:
        start_thread(thread)
        if thread.name.startswith("reindex"):
            time.sleep(0.2)

    def open_build() -> IndexBuild:
        interrupt()
        return open_index_build(filled.settings.search_url)

    monkeypatch.setattr(threading.Thread, "start", start_slowly)
    with pytest.raises(KeyboardInterrupt):
        Reindexing(filled.redis, filled.projection, open_build).run()
    assert filled.reindexing.run() == BOOKS
    assert differing(filled) == ()


class DamagedBuild:
    """Changes the books that are written to an index build."""

    def __init__(self, build: IndexBuild, change: Callable[[BookState], BookState | None]) -> None:
        self._build = build
        self._change = change

    def apply(self, books: list[BookState], *, commit: bool = True) -> list[RejectedBook]:
        changed = [self._change(book) for book in books]
        return self._build.apply([book for book in changed if book is not None], commit=commit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._build, name)


def damage(dependencies: Dependencies, change: Callable[[BookState], BookState | None], *more: BookState) -> None:
    """Publish an index that differs from the records."""
    with open_index_build(dependencies.settings.search_url) as build:
        DamagedBuild(build, change).apply(dependencies.projection.feed.list_books(after_number=0, limit=10_000))
        build.apply(more)
        build.lock()
        build.publish()


def sweep(dependencies: Dependencies) -> dict[str, Any]:
    run_sweep(dependencies)
    comparison: dict[str, Any] = orjson.loads(dependencies.redis.get(INDEX_SWEEP_KEY) or b"{}")
    return comparison


def test_a_sweep_repairs_and_reports_differences(
    filled: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    dearer = [scraped.item(n, run="run-2", minute=9, price="£11.00") for n in range(1, 4)]
    publish(scraped.started("run-2", minute=9), *dearer, scraped.finished("run-2", scraped=3, minute=10))
    assert sweep(filled)["differing"] == 0
    missing = [
        book.number for book in filled.projection.feed.list_books(after_number=0, limit=99) if book.revision == 1
    ][:2]
    damage(filled, lambda book: None if book.number in missing else book._replace(revision=1))
    generation = filled.projection.generation.current()
    comparison = sweep(filled)
    assert filled.projection.generation.current() == generation + 1, "cached responses of the damaged index are invalid"
    assert (comparison["books"], comparison["differing"], comparison["repaired"], comparison["rebuild"]) == (
        BOOKS,
        5,
        5,
        False,
    )
    assert differing(filled) == ()
    assert sweep(filled)["differing"] == 0


def test_an_index_with_unknown_books_is_rebuilt(filled: Dependencies) -> None:
    unknown_book = filled.projection.feed.list_books(after_number=0, limit=1)[0]._replace(
        number=9_999, book_id="nobody:1"
    )
    damage(filled, lambda book: book, unknown_book)
    assert sweep(filled)["rebuild"] is True
    assert differing(filled) == ()
    assert sweep(filled)["differing"] == 0


def test_a_new_index_that_differs_from_the_records_is_not_published(filled: Dependencies) -> None:
    with (
        pytest.raises(IndexMismatchError, match="in 1 books"),
        open_index_build(filled.settings.search_url) as build,
    ):
        filled.projection.rebuild(DamagedBuild(build, lambda book: None if book.number == 7 else book))  # type: ignore[arg-type]
    assert differing(filled) == ()


class RejectingIndex:
    """An index that permanently rejects the books with these numbers."""

    def __init__(self, index: IndexWriter, numbers: set[int]) -> None:
        self._index = index
        self._numbers = numbers

    def apply(self, books: list[BookState], *, commit: bool = True) -> list[RejectedBook]:
        self._index.apply([book for book in books if book.number not in self._numbers], commit=commit)
        return [RejectedBook(book, "400 too strange") for book in books if book.number in self._numbers]

    def __enter__(self) -> "RejectingIndex":
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)


@pytest.fixture
def rejected() -> set[int]:
    """The numbers of the books that the index rejects."""
    return set()


@pytest.fixture
def rejecting(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any, rejected: set[int]
) -> Dependencies:
    """Dependencies with an index that rejects books. Three books are in the records and not in the index yet."""
    StreamWriter(dependencies.redis, RAW_STREAM).publish([scraped.item(n).model_dump_json() for n in range(1, 4)])
    run_ingest(dependencies)
    open_index = dependencies.open_index
    return replace(dependencies, open_index=lambda: RejectingIndex(open_index(), rejected))  # type: ignore[arg-type, return-value]


def quarantined_ids(dependencies: Dependencies) -> list[str]:
    entries = QuarantineStore(dependencies.engine).page(
        QuarantineFilter(code=REJECTED_BY_INDEX_CODE), state=QuarantineState.OPEN, limit=9
    )
    return [entry.entry_id for entry in entries]


def test_a_rejected_book_is_quarantined_until_the_index_accepts_a_later_revision(
    rejecting: Dependencies, scraped: Any, rejected: set[int]
) -> None:
    rejected.add(2)
    assert run_projection(rejecting) == 3
    [entry] = QuarantineStore(rejecting.engine).list_open(limit=9)
    assert (entry.entry_id, entry.code, entry.run_id) == ("index/2/1", REJECTED_BY_INDEX_CODE, None)
    assert entry.reasons[0].message == "shop:upc-2, revision 1: 400 too strange"
    assert orjson.loads(entry.body)["id"] == "shop:upc-2"
    rejecting.projection.feed.reset(SEARCH_PROJECTION)
    assert run_projection(rejecting) == 3
    for _ in range(2):
        assert {key: value for key, value in sweep(rejecting).items() if key != "at"} == {
            "books": 3,
            "differing": 1,
            "repaired": 0,
            "rejected": 1,
            "rebuild": False,
        }
    assert quarantined_ids(rejecting) == ["index/2/1"]
    dearer = scraped.item(2, run="run-2", minute=5, price="£12.00")
    StreamWriter(rejecting.redis, RAW_STREAM).publish([dearer.model_dump_json()])
    run_ingest(rejecting)
    run_projection(rejecting)
    assert quarantined_ids(rejecting) == ["index/2/2"], "only the latest revision is in quarantine"
    check_consistent(rejecting.engine)
    rejected.clear()
    StreamWriter(rejecting.redis, RAW_STREAM).publish(
        [scraped.item(2, run="run-3", minute=9, price="£13.00").model_dump_json()]
    )
    run_ingest(rejecting)
    run_projection(rejecting)
    assert quarantined_ids(rejecting) == []
    assert sweep(rejecting)["differing"] == 0


def test_a_sweep_resolves_a_rejected_book_and_quarantines_a_book_rejected_again(
    rejecting: Dependencies, rejected: set[int]
) -> None:
    rejected.add(2)
    run_projection(rejecting)
    generation = rejecting.projection.generation.current()
    assert sweep(rejecting)["rejected"] == 1
    assert rejecting.projection.generation.current() == generation, (
        "nothing was written, so the cached responses are current"
    )
    metrics = SuiteMetrics(rejecting.redis, rejecting.engine).collect()
    [family] = [family for family in metrics if family.name == "bookwheel_index_compared_books"]
    assert {sample.labels["result"]: sample.value for sample in family.samples} == {
        "compared": 3,
        "differing": 1,
        "repaired": 0,
        "rejected": 1,
    }
    rejected.clear()
    assert sweep(rejecting)["repaired"] == 1
    assert quarantined_ids(rejecting) == []
    damage(rejecting, lambda book: None if book.number == 2 else book)
    rejected.add(2)
    assert sweep(rejecting)["rejected"] == 1
    assert quarantined_ids(rejecting) == ["index/2/1"]
    rejected.clear()
    assert rejecting.reindexing.run() == 3
    assert quarantined_ids(rejecting) == []


def test_a_process_killed_before_it_stores_a_rejection_does_not_lose_it(
    rejecting: Dependencies, rejected: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise SystemExit

    rejected.add(2)
    with monkeypatch.context() as patch:
        patch.setattr(RejectedBooks, "update", die)
        with pytest.raises(SystemExit):
            run_projection(rejecting)
    assert (quarantined_ids(rejecting), rejecting.projection.feed.cursor(SEARCH_PROJECTION)) == ([], 0)
    run_projection(rejecting)
    assert quarantined_ids(rejecting) == ["index/2/1"]
    rejected.clear()
    with monkeypatch.context() as patch:
        patch.setattr(RejectedBooks, "update", die)
        with pytest.raises(SystemExit):
            run_sweep(rejecting)
    assert quarantined_ids(rejecting) == ["index/2/1"]
    assert sweep(rejecting)["differing"] == 0, "the book is in the index"
    assert quarantined_ids(rejecting) == [], "and its entry is resolved"


def test_a_replay_skips_books_that_the_index_rejected(rejecting: Dependencies, rejected: set[int]) -> None:
    rejected.add(2)
    run_projection(rejecting)
    store, replay = QuarantineStore(rejecting.engine), Replay(rejecting.engine)
    [entry] = store.list_open(limit=9)
    assert (store.queue_replay(entry.number), store.queue_replays(QuarantineFilter(code=REJECTED_BY_INDEX_CODE))) == (
        False,
        0,
    )
    assert replay.replay_all() == replay.replay_queued() == ReplayResult(Counter(), 0)
    assert replay.replay_entry_number(entry.number) == ReplayResult(Counter(), 1)
    assert quarantined_ids(rejecting) == ["index/2/1"]


def test_a_book_that_the_index_rejects_does_not_stop_a_build(filled: Dependencies) -> None:
    if filled.settings.search_url.startswith("tantivy"):
        pytest.skip("Tantivy rejects no book")
    with filled.engine.begin() as connection:
        invalid_content = """replace(content, '"rating_count"\\:null', '"rating_count"\\:"many"')"""
        changed = connection.execute(text(f"UPDATE change SET content = {invalid_content} WHERE book_number = 5"))
        assert changed.rowcount == 1
    assert filled.reindexing.run() == BOOKS
    assert differing(filled) == (5,)
    assert quarantined_ids(filled) == ["index/5/1"]
    assert "rating_count" in QuarantineStore(filled.engine).list_open(limit=1)[0].reasons[0].message
    comparison = sweep(filled)
    assert (comparison["differing"], comparison["repaired"], comparison["rejected"], comparison["rebuild"]) == (
        1,
        0,
        1,
        False,
    )
    with filled.engine.begin() as connection:
        valid_content = """replace(content, '"rating_count"\\:"many"', '"rating_count"\\:null')"""
        connection.execute(text(f"UPDATE change SET content = {valid_content} WHERE book_number = 5"))
    assert sweep(filled)["repaired"] == 1
    assert quarantined_ids(filled) == []


def request_build(dependencies: Dependencies, job_id: str) -> None:
    request = ReindexRequest(job_id=job_id, requested_at=utc_now(), requested_by="user:1", traceparent="")
    StreamWriter(dependencies.redis, REINDEX_STREAM).publish([request.model_dump_json()])


def job(dependencies: Dependencies, job_id: str) -> ReindexJob:
    return ReindexJob.model_validate_json(dependencies.redis.get(reindex_key(job_id)) or b"")


def test_requests_share_one_build_and_have_a_state(filled: Dependencies) -> None:
    request_build(filled, "a")
    StreamWriter(filled.redis, REINDEX_STREAM).publish(["{"])
    request_build(filled, "b")
    generation = filled.projection.generation.current()
    assert run_reindexing(filled) == 2
    assert filled.projection.generation.current() == generation + 1, "one build for both requests"
    assert [(job(filled, job_id).state, job(filled, job_id).books) for job_id in "ab"] == [
        (ReindexState.COMPLETE, BOOKS)
    ] * 2
    assert run_reindexing(filled) == 0


def test_one_build_runs_at_a_time_and_a_failed_one_has_a_reason(filled: Dependencies) -> None:
    request_build(filled, "a")
    with filled.redis.lock(REINDEX_LOCK_KEY, timeout=60):
        assert run_reindexing(filled) == 0
        with pytest.raises(ReindexInProgressError):
            filled.reindexing.run()
    with filled.engine.begin() as connection:
        connection.execute(text("ALTER TABLE change RENAME TO change_renamed"))
    assert run_reindexing(filled) == 1
    failed = job(filled, "a")
    assert (failed.state, "change" in (failed.reason or "")) == (ReindexState.FAILED, True)
