"""Silver and the versions made of it follow the records, whoever dies or is slow."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from bookwheel_contracts.exports import ExportRequest
from bookwheel_contracts.redis_keys import EXPORT_STREAM, RAW_STREAM
from bookwheel_processor.lake import silver_projection
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.ingest_job import run_ingest
from bookwheel_processor.worker.lake_jobs import run_export, run_lake_sweep, run_silver
from bookwheel_processor.worker.process_lock import process_lock
from bookwheel_stores.lake import Lake, LakeError, compaction, silver
from bookwheel_stores.lake.compaction import without_replaced
from bookwheel_stores.lake.export_writer import export_versions, read_export
from bookwheel_stores.lake.silver import OBSERVATIONS
from bookwheel_stores.records import BookReader, ChangeFeed
from bookwheel_stores.records.database.connection import lease
from bookwheel_stores.streams import StreamWriter


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
    for module in (silver, silver_projection):
        monkeypatch.setattr(module, "BUCKET", 8)
    monkeypatch.setattr(silver.range_name, "__kwdefaults__", {"size": 8})


@pytest.fixture
def take_in(dependencies: Dependencies) -> Callable[..., None]:
    def take_in(*messages: Any) -> None:
        StreamWriter(dependencies.redis, RAW_STREAM).publish([message.model_dump_json() for message in messages])
        run_ingest(dependencies)

    return take_in


def rows(lake: Lake, folder: str) -> list[dict[str, Any]]:
    """As of the files that no merged one has replaced."""
    found: list[dict[str, Any]] = []
    for file in without_replaced([file for file in lake.list(folder) if file.path.endswith(".parquet")])[0]:
        with lake.open(file.path) as opened:
            source = next((part for part in file.path.split("/") if part.startswith("source=")), "")
            found += [{**row, "source": source[7:]} for row in pq.read_table(opened).to_pylist()]
    return found


def check_books(dependencies: Dependencies) -> None:
    expected = {one.id: one for one in BookReader(dependencies.engine).page(after_number=0, limit=1000)}
    found = [row for table in dependencies.silver.silver.catalog() for row in table.to_pylist()]
    assert [row["book_id"] for row in found] == list(expected)
    for row in found:
        one = expected[row["book_id"]]
        assert (row["title"], row["revision"], row["stock"]) == (one.title, one.revision, one.stock)
        assert row["price_amount"] == (one.price.amount if one.price else None)
        assert row["sources"] == [offer.source for offer in one.offers]
    by_source = sorted((row["book_id"], row["source"], row["url"]) for row in rows(dependencies.lake, "silver/books"))
    assert by_source == sorted((one.id, offer.source, offer.url) for one in expected.values() for offer in one.offers)


def check_observations(dependencies: Dependencies) -> None:
    """Each price in force is one that was observed, and none is there twice."""
    found = rows(dependencies.lake, OBSERVATIONS)
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
    assert len(rows(dependencies.lake, OBSERVATIONS)) == 20 + 4


class Dead(BaseException):
    """Where the process was killed."""


@pytest.mark.parametrize("seed", range(2))
def test_silver_is_right_after_any_kills(
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
        patch = pytest.MonkeyPatch()
        left = dice.randint(0, 6)

        def die(self: Lake, path: str, _original: Any = Lake.writing) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Dead
            return _original(self, path)

        patch.setattr(Lake, "writing", die)
        try:
            run_silver(dependencies)
        except Dead:
            pass
        finally:
            patch.undo()
    run_silver(dependencies)
    check_books(dependencies)
    check_observations(dependencies)


def test_a_slow_writer_that_replaces_newer_files_has_them_written_again(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(scraped.item(1), scraped.item(2))
    projection = dependencies.silver
    write = silver.Silver.write_observations
    is_first = True

    def slow(self: Any, bucket: int, changes: Any, *, up_to: int) -> None:
        nonlocal is_first
        held = list(changes)
        if is_first:  # another machine's round takes place between this one's reading and writing
            is_first = False
            take_in(scraped.item(3), scraped.item(4))
            projection.observe()
        write(self, bucket, held, up_to=up_to)

    monkeypatch.setattr(silver.Silver, "write_observations", slow)
    projection.observe()
    assert len(rows(dependencies.lake, OBSERVATIONS)) == 2
    assert run_silver(dependencies) == 4
    check_observations(dependencies)


def test_what_is_merged_while_a_slow_writer_is_in_between_loses_nothing(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has written its older file and, as yet or for ever, not put the cursor back. The day is over."""
    take_in(*(scraped.item(number) for number in range(1, 7)))
    older = [list(page) for page in dependencies.silver.states.change_pages(after=0, up_to=6)]
    take_in(*(scraped.item(number) for number in range(7, 17)))
    dependencies.silver.observe()
    monkeypatch.setattr(compaction, "GRACE", timedelta(hours=-1))
    dependencies.silver.silver.write_observations(0, older, up_to=6)
    assert len(rows(dependencies.lake, OBSERVATIONS)) == 14
    for _ in range(2):
        dependencies.silver.compact()
        dependencies.silver.observe()
    assert len(rows(dependencies.lake, OBSERVATIONS)) == 16
    check_observations(dependencies)
    dependencies.silver.compact()
    assert len(rows(dependencies.lake, OBSERVATIONS)) == 16
    assert len([file for file in dependencies.lake.list(OBSERVATIONS) if file.path.endswith(".parquet")]) == 1


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
    told = {"version": version, "requested_by": "test", "requested_at": "2026-01-31T08:00:00Z", "traceparent": ""}
    return ExportRequest.model_validate(told).model_dump_json()


def test_a_version_is_made_when_asked_for_and_only_then(
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


def test_complete_crawls_bring_about_versions_no_more_often_than_set_and_old_ones_go(
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
def test_a_version_whose_making_was_killed_is_made_again(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, step: int
) -> None:
    take_in(scraped.item(1), scraped.item(2, source="other"))
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(2)])
    left = step
    patch = pytest.MonkeyPatch()

    def die(self: Lake, path: str, _original: Any = Lake.writing) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Dead
        return _original(self, path)

    patch.setattr(Lake, "writing", die)
    try:
        run_export(dependencies)
    except Dead:
        assert export_versions(dependencies.lake) == []
    patch.undo()
    run_export(dependencies)
    assert export_versions(dependencies.lake) == [2]
    export = read_export(dependencies.lake, 2)
    assert export is not None
    for file in export.files:
        assert dependencies.lake.size(file.path) == file.size


def test_a_full_lake_is_told_and_nothing_is_half_there(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(scraped.item(1))

    def refuse(*_: Any) -> None:
        raise LakeError("no space left on device")

    monkeypatch.setattr("bookwheel_stores.lake.files._rename", refuse)
    with pytest.raises(LakeError):
        run_silver(dependencies)
    monkeypatch.undo()
    assert rows(dependencies.lake, "silver") == []
    assert ChangeFeed(dependencies.engine).cursor("lake") == 0
    run_lake_sweep(dependencies)


def test_what_a_killed_making_left_goes_though_its_version_is_never_made(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any
) -> None:
    take_in(scraped.item(1))
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(1)])
    publish = Lake.write
    patch = pytest.MonkeyPatch()

    def die(self: Lake, path: str, content: bytes) -> None:
        if path.startswith("exports/versions/"):
            raise Dead
        publish(self, path, content)

    patch.setattr(Lake, "write", die)
    with pytest.raises(Dead):
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


@pytest.mark.parametrize("begins", ["before", "after"])
def test_no_version_is_made_of_books_that_another_wrote_to(
    dependencies: Dependencies, take_in: Callable[..., None], scraped: Any, begins: str
) -> None:
    take_in(scraped.item(1))
    dependencies.silver.refresh_books()
    take_in(scraped.item(2))
    StreamWriter(dependencies.redis, EXPORT_STREAM).publish([request(2)])
    patch = pytest.MonkeyPatch()
    write, read = silver.Silver.write_books, silver.Silver.catalog

    def interfere() -> None:  # a machine that got the lease since this one has lost its own
        patch.undo()
        take_in(scraped.item(3))
        dependencies.silver.refresh_books()

    def slow_write(self: Any, bucket: int, pages: Any) -> None:
        interfere()
        write(self, bucket, pages)

    def slow_read(self: Any) -> Any:
        interfere()
        return read(self)

    if begins == "before":
        patch.setattr(silver.Silver, "write_books", slow_write)
    else:
        patch.setattr(silver.Silver, "catalog", slow_read)
    with pytest.raises(LakeError, match="at the same time"):
        run_export(dependencies)
    assert export_versions(dependencies.lake) == []
    run_export(replace(dependencies, settings=dependencies.settings.model_copy(update={"claim_after": 0.001})))
    assert export_versions(dependencies.lake) == [3]
    check_books(dependencies)
