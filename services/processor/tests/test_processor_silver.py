"""Silver and exports have the content of the records, also after kills and with slow writers."""

import errno
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts.exports import ExportRequest
from bookwheel_contracts.redis_keys import EXPORT_STREAM, RAW_STREAM
from bookwheel_processor.lake import silver_projection
from bookwheel_processor.lake.silver_projection import SilverProjection
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.ingest_job import run_ingest
from bookwheel_processor.worker.lake_jobs import run_export, run_lake_sweep, run_silver
from bookwheel_processor.worker.process_lock import process_lock
from bookwheel_stores.lake import Lake, LakeError
from bookwheel_stores.lake.export_writer import export_versions, read_export
from bookwheel_stores.lake.silver import Silver, SilverSnapshot
from bookwheel_stores.lake.tables import ConcurrentWriteError, LakeTable
from bookwheel_stores.records import BookReader, ChangeFeed
from bookwheel_stores.records.database.connection import lease
from bookwheel_stores.records.feed.snapshots import ChangeDiff, SnapshotReader
from bookwheel_stores.streams import StreamWriter
from bookwheel_testing.fault_injection import SimulatedCrash, crash_after
from bookwheel_testing.lakes import lake_rows

OBSERVATIONS = "silver/observations"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url")).replace("postgresql://", "postgresql+psycopg://")
    return f"sqlite:///{tmp_path / 'bookwheel.sqlite'}"


@pytest.fixture
def job_settings() -> dict[str, Any]:
    return {"hold_share": 1}


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silver_projection, "BUCKET_SIZE", 8)


@pytest.fixture
def ingest(dependencies: Dependencies) -> Callable[..., None]:
    def ingest(*messages: Any) -> None:
        StreamWriter(dependencies.redis, RAW_STREAM).publish([message.model_dump_json() for message in messages])
        run_ingest(dependencies)

    return ingest


def another_machine(dependencies: Dependencies) -> SilverProjection:
    """A projection that writes to the same lake without the lock, as after a long pause."""
    engine, lake = dependencies.engine, dependencies.lake
    return SilverProjection(ChangeFeed(engine), SnapshotReader(engine), Silver(lake))


def check_books(dependencies: Dependencies) -> None:
    expected = {book.id: book for book in BookReader(dependencies.engine).page(after_number=0, limit=1000)}
    snapshot = dependencies.silver.tables.snapshot()
    rows = [row for table in snapshot.books() for row in table.to_pylist()]
    assert [row["book_id"] for row in rows] == list(expected)
    for row in rows:
        book = expected[row["book_id"]]
        assert (row["title"], row["revision"], row["stock"]) == (book.title, book.revision, book.stock)
        assert row["price_amount"] == (book.price.amount if book.price else None)
        assert row["sources"] == [offer.source for offer in book.offers]
    offers = lake_rows(dependencies.lake, "silver/offers")
    expected_offers = [(book.id, offer.source, offer.url) for book in expected.values() for offer in book.offers]
    assert sorted((row["book_id"], row["source"], row["url"]) for row in offers) == sorted(expected_offers)


def check_observations(dependencies: Dependencies) -> None:
    """Check that the last observation of each offer has its price and stock, and that none is repeated."""
    rows = lake_rows(dependencies.lake, OBSERVATIONS)
    keys = [(row["sequence"], row["source"], row["url"]) for row in rows]
    assert len(set(keys)) == len(keys)
    latest = {(row["source"], row["url"]): row for row in sorted(rows, key=lambda row: int(row["sequence"]))}
    for book in BookReader(dependencies.engine).page(after_number=0, limit=1000):
        for offer in book.offers:
            assert latest[offer.source, offer.url]["price_amount"] == (offer.price.amount if offer.price else None)
            assert latest[offer.source, offer.url]["stock"] == offer.stock


def test_silver_follows_the_records(dependencies: Dependencies, ingest: Callable[..., None], scraped: Any) -> None:
    ingest(*(scraped.item(n) for n in range(1, 21)))
    assert run_silver(dependencies) == 20
    check_books(dependencies)
    check_observations(dependencies)
    assert run_silver(dependencies) == 0
    ingest(
        scraped.item(1, run="run-2", minute=1, price="£11.00"),
        scraped.item(2, run="run-2", minute=1, isbn="0306406152"),
        scraped.item(3, run="run-2", minute=1, isbn="0306406152"),
        scraped.item(4, run="run-2", minute=1, title="Renamed"),
        scraped.item(30, run="run-2", minute=1, source="other", isbn="0306406152"),
    )
    run_silver(dependencies)
    check_books(dependencies)
    check_observations(dependencies)
    assert len(lake_rows(dependencies.lake, OBSERVATIONS)) == 20 + 4


@pytest.mark.parametrize("seed", range(2))
def test_silver_is_correct_after_kills(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    generator = random.Random(seed)
    for minute in range(8):
        items = generator.sample(range(1, 40), 9)
        ingest(
            *(
                scraped.item(
                    number,
                    run=f"run-{minute}",
                    minute=minute * 300,
                    price=f"£{generator.randint(1, 3)}.00",
                    isbn=generator.choice([None, None, "0306406152", "9780306406157", "080442957X"]),
                    source=generator.choice(["shop", "other"]),
                )
                for number in items
            )
        )
        with pytest.MonkeyPatch.context() as patch, suppress(SimulatedCrash):
            crash_after(generator.randint(0, 6), patch, LakeTable, "append", "replace")
            run_silver(dependencies)
    run_silver(dependencies)
    check_books(dependencies)
    check_observations(dependencies)


def test_a_slow_writer_cannot_append_the_same_entries_again(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(scraped.item(1), scraped.item(2))
    slow, append = another_machine(dependencies), Silver.append_observations

    def pause(self: Silver, changes: Any, *, cursor: int) -> None:
        monkeypatch.undo()
        rows = list(changes)
        ingest(scraped.item(3), scraped.item(4))
        assert run_silver(dependencies) == 4
        append(self, rows, cursor=cursor)

    monkeypatch.setattr(silver_projection, "BUCKET_SIZE", 8)
    monkeypatch.setattr(Silver, "append_observations", pause)
    with pytest.raises(ConcurrentWriteError):
        slow.append_observations()
    assert len(lake_rows(dependencies.lake, OBSERVATIONS)) == 4
    check_observations(dependencies)


def test_a_lake_of_other_records_is_written_again(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any
) -> None:
    """For example if the records were deleted, but not the lake."""
    ingest(scraped.item(1))
    tables = dependencies.silver.tables
    tables.load_books()
    tables.observations.load()
    [book] = BookReader(dependencies.engine).page(after_number=0, limit=1)
    change = ChangeDiff(9, 9, 0, False, None, book.model_dump_json().encode())
    tables.append_observations([[change]], cursor=9)
    tables.write_books(5, [], cursor=9)
    assert run_silver(dependencies) == 1
    check_books(dependencies)
    check_observations(dependencies)
    assert len(lake_rows(dependencies.lake, OBSERVATIONS)) == 1


def test_only_one_process_writes_silver(dependencies: Dependencies, ingest: Callable[..., None], scraped: Any) -> None:
    ingest(scraped.item(1))
    with process_lock(dependencies.lock_folder, "lake") as acquired:
        assert acquired
        assert run_silver(dependencies) == run_export(dependencies) == 0
    another = replace(
        dependencies,
        settings=dependencies.settings.model_copy(update={"state_dir": dependencies.settings.state_dir / "two"}),
    )
    if dependencies.engine.dialect.name == "postgresql":
        with lease(dependencies.engine, "lake") as acquired:
            assert acquired
            assert run_silver(another) == 0
    assert run_silver(another) == 1


def request(version: int) -> str:
    message = {"version": version, "requested_by": "test", "requested_at": "2026-01-31T08:00:00Z", "traceparent": ""}
    return ExportRequest.model_validate(message).model_dump_json()


def test_an_export_is_written_only_on_request(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any
) -> None:
    ingest(*(scraped.item(n) for n in range(1, 6)))
    assert run_export(dependencies) == 0
    assert export_versions(dependencies.lake) == []
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(5), "not a request", request(4)])
    assert run_export(dependencies) == 3
    assert export_versions(dependencies.lake) == [5]
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(3)])
    run_export(dependencies)
    assert export_versions(dependencies.lake) == [5]
    export = read_export(dependencies.lake, 5)
    assert export is not None
    assert (export.books, export.offers) == (5, 5)


def test_complete_crawls_cause_exports_at_the_interval_and_old_exports_are_deleted(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any
) -> None:
    often = replace(
        dependencies, settings=dependencies.settings.model_copy(update={"export_interval": 0.001, "exports_kept": 2})
    )
    ingest(scraped.started(), scraped.item(1))
    run_export(often)
    assert export_versions(dependencies.lake) == []  # the crawl is running
    ingest(scraped.finished(scraped=1))
    run_export(dependencies)
    assert export_versions(dependencies.lake) == [1]
    ingest(scraped.item(2, run="run-2"), scraped.finished("run-2", scraped=1))
    run_export(dependencies)
    assert export_versions(dependencies.lake) == [1]
    run_export(often)
    assert export_versions(dependencies.lake) == [2, 1]
    run_export(often)
    ingest(scraped.item(3, run="run-3"), scraped.finished("run-3", scraped=1))
    run_export(often)
    assert export_versions(dependencies.lake) == [3, 2]
    assert {file.path.split("/")[2] for file in dependencies.lake.list("exports/csv")} == {"2", "3"}
    never = replace(dependencies, settings=dependencies.settings.model_copy(update={"export_interval": 0}))
    ingest(scraped.item(4, run="run-4"), scraped.finished("run-4", scraped=1))
    run_export(never)
    assert export_versions(dependencies.lake) == [3, 2]


@pytest.mark.parametrize("step", range(0, 12, 2))
def test_a_killed_export_is_repeated(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any, step: int
) -> None:
    ingest(scraped.item(1), scraped.item(2, source="other"))
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(2)])
    with pytest.MonkeyPatch.context() as patch:
        crash_after(step, patch, Lake, "open_for_write")
        try:
            run_export(dependencies)
        except SimulatedCrash:
            assert export_versions(dependencies.lake) == []
    run_export(dependencies)
    assert export_versions(dependencies.lake) == [2]
    export = read_export(dependencies.lake, 2)
    assert export is not None
    for file in export.files:
        assert dependencies.lake.size(file.path) == file.size


def test_a_full_disk_fails_the_lake_without_partial_files(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(scraped.item(1))

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("bookwheel_stores.lake.tables.write_deltalake", fail)
    with pytest.raises(LakeError, match="no space left"):
        run_silver(dependencies)
    monkeypatch.undo()
    assert [lake_rows(dependencies.lake, f"silver/{table}") for table in ("books", "observations")] == [[], []]
    assert ChangeFeed(dependencies.engine).cursor("lake") == 0
    run_lake_sweep(dependencies)


def test_the_files_of_a_killed_export_are_deleted(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any
) -> None:
    ingest(scraped.item(1))
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(1)])
    publish = Lake.write
    patch = pytest.MonkeyPatch()

    def die(self: Lake, path: str, content: bytes) -> None:
        if path.startswith("exports/versions/"):
            raise SimulatedCrash
        publish(self, path, content)

    patch.setattr(Lake, "write", die)
    with pytest.raises(SimulatedCrash):
        run_export(dependencies)
    patch.undo()
    ingest(scraped.item(2))
    run_export(dependencies)
    assert export_versions(dependencies.lake) == [2]
    run_lake_sweep(dependencies)
    assert versions_with_files(dependencies.lake) == {"1", "2"}  # its process could still be running
    run_lake_sweep(dependencies, now=datetime.now(UTC) + timedelta(hours=2))
    assert versions_with_files(dependencies.lake) == {"2"}


def versions_with_files(lake: Lake) -> set[str]:
    return {file.path.split("/")[2] for kind in ("csv", "parquet") for file in lake.list(f"exports/{kind}")}


def test_an_export_has_its_version_while_another_process_writes(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(scraped.item(1), scraped.item(2))
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(2)])
    read = SilverSnapshot.books

    def interfere(self: SilverSnapshot) -> Any:
        monkeypatch.undo()
        ingest(scraped.item(3), scraped.item(4, source="other"))
        another_machine(dependencies).refresh_books()
        return read(self)

    monkeypatch.setattr(SilverSnapshot, "books", interfere)
    run_export(dependencies)
    export = read_export(dependencies.lake, 2)
    assert export is not None
    assert (export.books, export.offers) == (2, 2)
    check_books(dependencies)


def test_an_export_fails_if_another_process_writes_the_books(
    dependencies: Dependencies, ingest: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(scraped.item(1), scraped.item(2))
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(2)])
    write = Silver.write_books

    def interfere(self: Silver, bucket: int, pages: Any, *, cursor: int) -> None:
        monkeypatch.undo()
        ingest(scraped.item(3))
        another_machine(dependencies).refresh_books()
        write(self, bucket, pages, cursor=cursor)

    monkeypatch.setattr(Silver, "write_books", interfere)
    with pytest.raises(ConcurrentWriteError):
        run_export(dependencies)
    assert export_versions(dependencies.lake) == []
    run_export(replace(dependencies, settings=dependencies.settings.model_copy(update={"claim_after": 0.001})))
    assert export_versions(dependencies.lake) == [3]
    check_books(dependencies)
