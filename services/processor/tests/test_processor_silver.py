"""Silver and the versions made of it follow the records, whoever dies or is slow."""

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
def take_in(dependencies: Dependencies) -> Callable[..., None]:
    def take_in(*messages: Any) -> None:
        StreamWriter(dependencies.redis, RAW_STREAM).publish([message.model_dump_json() for message in messages])
        run_ingest(dependencies)

    return take_in


def another_machine(dependencies: Dependencies) -> SilverProjection:
    """One that writes to the same lake without the lock, as after a long pause."""
    engine, lake = dependencies.engine, dependencies.lake
    return SilverProjection(ChangeFeed(engine), SnapshotReader(engine), Silver(lake))


def check_books(dependencies: Dependencies) -> None:
    expected = {one.id: one for one in BookReader(dependencies.engine).page(after_number=0, limit=1000)}
    snapshot = dependencies.silver.silver.snapshot()
    found = [row for table in snapshot.books() for row in table.to_pylist()]
    assert [row["book_id"] for row in found] == list(expected)
    for row in found:
        one = expected[row["book_id"]]
        assert (row["title"], row["revision"], row["stock"]) == (one.title, one.revision, one.stock)
        assert row["price_amount"] == (one.price.amount if one.price else None)
        assert row["sources"] == [offer.source for offer in one.offers]
    offers = lake_rows(dependencies.lake, "silver/offers")
    expected_offers = [(book.id, offer.source, offer.url) for book in expected.values() for offer in book.offers]
    assert sorted((row["book_id"], row["source"], row["url"]) for row in offers) == sorted(expected_offers)


def check_observations(dependencies: Dependencies) -> None:
    """Each price in force is one that was observed, and none is there twice."""
    found = lake_rows(dependencies.lake, OBSERVATIONS)
    keys = [(row["sequence"], row["source"], row["url"]) for row in found]
    assert len(set(keys)) == len(keys)
    latest = {(row["source"], row["url"]): row for row in sorted(found, key=lambda row: int(row["sequence"]))}
    for one in BookReader(dependencies.engine).page(after_number=0, limit=1000):
        for offer in one.offers:
            assert latest[offer.source, offer.url]["price_amount"] == (offer.price.amount if offer.price else None)
            assert latest[offer.source, offer.url]["stock"] == offer.stock


def test_silver_follows_the_records(dependencies: Dependencies, take_in: Callable[..., None], scraped: Any) -> None:
    take_in(*(scraped.item(n) for n in range(1, 21)))
    assert run_silver(dependencies) == 20
    check_books(dependencies)
    check_observations(dependencies)
    assert run_silver(dependencies) == 0
    take_in(
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
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice = random.Random(seed)
    for minute in range(8):
        items = dice.sample(range(1, 40), 9)
        take_in(
            *(
                scraped.item(
                    number,
                    run=f"run-{minute}",
                    minute=minute * 300,
                    price=f"£{dice.randint(1, 3)}.00",
                    isbn=dice.choice([None, None, "0306406152", "9780306406157", "080442957X"]),
                    source=dice.choice(["shop", "other"]),
                )
                for number in items
            )
        )
        with pytest.MonkeyPatch.context() as patch, suppress(SimulatedCrash):
            crash_after(dice.randint(0, 6), patch, LakeTable, "append", "replace")
            run_silver(dependencies)
    run_silver(dependencies)
    check_books(dependencies)
    check_observations(dependencies)


def test_a_slow_writer_cannot_append_the_same_entries_again(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(scraped.item(1), scraped.item(2))
    slow, append = another_machine(dependencies), Silver.append_observations

    def pause(self: Silver, changes: Any, *, cursor: int) -> None:
        monkeypatch.undo()
        rows = list(changes)
        take_in(scraped.item(3), scraped.item(4))
        assert run_silver(dependencies) == 4
        append(self, rows, cursor=cursor)

    monkeypatch.setattr(silver_projection, "BUCKET_SIZE", 8)
    monkeypatch.setattr(Silver, "append_observations", pause)
    with pytest.raises(ConcurrentWriteError):
        slow.append_observations()
    assert len(lake_rows(dependencies.lake, OBSERVATIONS)) == 4
    check_observations(dependencies)


def test_a_lake_of_other_records_is_written_again(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any
) -> None:
    """Such as one that is still there when the records begin anew."""
    take_in(scraped.item(1))
    others = dependencies.silver.silver
    others.load_books()
    others.observations.load()
    [book] = BookReader(dependencies.engine).page(after_number=0, limit=1)
    change = ChangeDiff(9, 9, 0, False, None, book.model_dump_json().encode())
    others.append_observations([[change]], cursor=9)
    others.write_books(5, [], cursor=9)
    assert run_silver(dependencies) == 1
    check_books(dependencies)
    check_observations(dependencies)
    assert len(lake_rows(dependencies.lake, OBSERVATIONS)) == 1


def test_only_one_process_writes_silver(dependencies: Dependencies, take_in: Callable[..., None], scraped: Any) -> None:
    take_in(scraped.item(1))
    with process_lock(dependencies.lock_folder, "lake") as is_mine:
        assert is_mine
        assert run_silver(dependencies) == run_export(dependencies) == 0
    another = replace(
        dependencies,
        settings=dependencies.settings.model_copy(update={"state_dir": dependencies.settings.state_dir / "two"}),
    )
    if dependencies.engine.dialect.name == "postgresql":
        with lease(dependencies.engine, "lake") as is_mine:
            assert is_mine
            assert run_silver(another) == 0
    assert run_silver(another) == 1


def request(version: int) -> str:
    message = {"version": version, "requested_by": "test", "requested_at": "2026-01-31T08:00:00Z", "traceparent": ""}
    return ExportRequest.model_validate(message).model_dump_json()


def test_an_export_is_made_when_requested_and_only_then(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any
) -> None:
    take_in(*(scraped.item(n) for n in range(1, 6)))
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


def test_complete_crawls_make_exports_at_the_set_interval_and_old_ones_are_deleted(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any
) -> None:
    often = replace(
        dependencies, settings=dependencies.settings.model_copy(update={"export_interval": 0.001, "exports_kept": 2})
    )
    take_in(scraped.started(), scraped.item(1))
    run_export(often)
    assert export_versions(dependencies.lake) == []  # it is running
    take_in(scraped.finished(scraped=1))
    run_export(dependencies)
    assert export_versions(dependencies.lake) == [1]
    take_in(scraped.item(2, run="run-2"), scraped.finished("run-2", scraped=1))
    run_export(dependencies)
    assert export_versions(dependencies.lake) == [1]
    run_export(often)
    assert export_versions(dependencies.lake) == [2, 1]
    run_export(often)
    take_in(scraped.item(3, run="run-3"), scraped.finished("run-3", scraped=1))
    run_export(often)
    assert export_versions(dependencies.lake) == [3, 2]
    assert {file.path.split("/")[2] for file in dependencies.lake.list("exports/csv")} == {"2", "3"}
    never = replace(dependencies, settings=dependencies.settings.model_copy(update={"export_interval": 0}))
    take_in(scraped.item(4, run="run-4"), scraped.finished("run-4", scraped=1))
    run_export(never)
    assert export_versions(dependencies.lake) == [3, 2]


@pytest.mark.parametrize("step", range(0, 12, 2))
def test_an_export_that_was_killed_is_made_again(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, step: int
) -> None:
    take_in(scraped.item(1), scraped.item(2, source="other"))
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
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(scraped.item(1))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("bookwheel_stores.lake.tables.write_deltalake", refuse)
    with pytest.raises(LakeError, match="no space left"):
        run_silver(dependencies)
    monkeypatch.undo()
    assert [lake_rows(dependencies.lake, f"silver/{table}") for table in ("books", "observations")] == [[], []]
    assert ChangeFeed(dependencies.engine).cursor("lake") == 0
    run_lake_sweep(dependencies)


def test_the_leftovers_of_a_killed_export_are_deleted(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any
) -> None:
    take_in(scraped.item(1))
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
    take_in(scraped.item(2))
    run_export(dependencies)
    assert export_versions(dependencies.lake) == [2]
    run_lake_sweep(dependencies)
    assert versions_with_files(dependencies.lake) == {"1", "2"}  # it might be at work still
    run_lake_sweep(dependencies, now=datetime.now(UTC) + timedelta(hours=2))
    assert versions_with_files(dependencies.lake) == {"2"}


def versions_with_files(lake: Lake) -> set[str]:
    return {file.path.split("/")[2] for kind in ("csv", "parquet") for file in lake.list(f"exports/{kind}")}


def test_an_export_has_its_version_while_another_process_writes(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(scraped.item(1), scraped.item(2))
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(2)])
    read = SilverSnapshot.books

    def interfere(self: SilverSnapshot) -> Any:
        monkeypatch.undo()
        take_in(scraped.item(3), scraped.item(4, source="other"))
        another_machine(dependencies).refresh_books()
        return read(self)

    monkeypatch.setattr(SilverSnapshot, "books", interfere)
    run_export(dependencies)
    export = read_export(dependencies.lake, 2)
    assert export is not None
    assert (export.books, export.offers) == (2, 2)
    check_books(dependencies)


def test_no_export_is_made_of_books_that_another_process_wrote(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(scraped.item(1), scraped.item(2))
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(2)])
    write = Silver.write_books

    def interfere(self: Silver, bucket: int, pages: Any, *, cursor: int) -> None:
        monkeypatch.undo()
        take_in(scraped.item(3))
        another_machine(dependencies).refresh_books()
        write(self, bucket, pages, cursor=cursor)

    monkeypatch.setattr(Silver, "write_books", interfere)
    with pytest.raises(ConcurrentWriteError):
        run_export(dependencies)
    assert export_versions(dependencies.lake) == []
    run_export(replace(dependencies, settings=dependencies.settings.model_copy(update={"claim_after": 0.001})))
    assert export_versions(dependencies.lake) == [3]
    check_books(dependencies)
