"""A replay applies quarantined entries that are valid under the current rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bookwheel_contracts import FieldError, RunState, Verdict, parse_stream_message
from bookwheel_contracts.crawls import RAW_FIELDS
from bookwheel_contracts.redis_keys import PREDICTION_STREAM
from bookwheel_processor import replay
from bookwheel_processor.cleaning import item as item_cleaning
from bookwheel_processor.ingest import decoding
from bookwheel_processor.ingest.apply import apply_items
from bookwheel_processor.ingest.decoding import RejectedEntry
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_processor.replay import Replay
from bookwheel_stores.records import BookReader, PredictionStore, RunStore
from bookwheel_stores.records.runs.quarantine import ALL_ENTRIES, QuarantineStore, QuarantineWriter
from bookwheel_testing.sample_books import prediction
from sqlalchemy import Engine
from sqlalchemy.exc import DataError

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
NOT_READ = FieldError(field="entry", code="invalid_prediction", message="an earlier version could not read it")


@pytest.fixture
def quarantined(engine: Engine, scraped: Any) -> Engine:
    items = [scraped.item(1), scraped.item(2, colour="red"), scraped.item(3, title=None)]
    ItemPipeline(engine).ingest(scraped.entries(*items, b"noise", scraped.finished(scraped=3)))
    return engine


def test_entries_that_are_still_rejected_stay_in_quarantine(quarantined: Engine) -> None:
    result = Replay(quarantined).replay_all()
    assert (dict(result.verdicts), result.rejected) == ({}, 3)
    assert QuarantineStore(quarantined).count() == 3


def test_a_replayed_item_moves_its_run_s_counts(quarantined: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_cleaning, "RAW_FIELDS", RAW_FIELDS | {"colour"})
    result = Replay(quarantined).replay_all()
    assert (dict(result.verdicts), result.rejected) == ({Verdict.ADDED: 1}, 2)
    run = RunStore(quarantined).get("run-1")
    assert run is not None
    assert (run.counts.added, run.counts.quarantined, run.counts.scraped) == (2, 1, 3)
    assert run.state is RunState.COMPLETE
    assert BookReader(quarantined).get("shop:upc-2") is not None
    assert Replay(quarantined).replay_all().verdicts == {}, "each entry is replayed once"


def test_an_entry_is_replayed_by_number(quarantined: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    number = open_numbers(quarantined)["'colour'"]
    assert Replay(quarantined).replay_entry_number(99) is None
    monkeypatch.setattr(item_cleaning, "RAW_FIELDS", RAW_FIELDS | {"colour"})
    result = Replay(quarantined).replay_entry_number(number)
    assert result is not None
    assert result.verdicts == {Verdict.ADDED: 1}
    assert Replay(quarantined).replay_entry_number(number) is None


def test_an_unidentified_item_counts_once_it_is_replayed(
    engine: Engine, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = scraped.item(1).model_dump_json().encode()
    shifted = b" " * 5000 + body  # run and number are only read from the beginning of a body
    monkeypatch.setattr(decoding, "parse_stream_message", lambda _body: parse_stream_message(b"?"))
    ItemPipeline(engine).ingest(scraped.entries(shifted))
    assert RunStore(engine).get("run-1") is None
    monkeypatch.setattr(decoding, "parse_stream_message", parse_stream_message)
    assert Replay(engine).replay_all().verdicts == {Verdict.ADDED: 1}
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.counts.added, run.counts.quarantined) == (1, 0)


def open_numbers(engine: Engine) -> dict[str, int]:
    """The numbers of the open entries, by the field of their first reason."""
    return {entry.reasons[0].field: entry.number for entry in QuarantineStore(engine).list_open(limit=9)}


def test_a_queued_entry_that_is_still_rejected_is_open_again(quarantined: Engine) -> None:
    before = open_numbers(quarantined)
    assert QuarantineStore(quarantined).queue_replays(ALL_ENTRIES) == 3
    assert open_numbers(quarantined) == {}
    assert Replay(quarantined).replay_queued().rejected == 3
    assert open_numbers(quarantined) == before
    assert Replay(quarantined).replay_queued().rejected == 0, "each entry is replayed once"


def test_an_entry_that_the_database_rejects_does_not_stop_a_replay(
    engine: Engine, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ItemPipeline(engine).ingest(scraped.entries(*(scraped.item(number, colour="red") for number in (1, 2, 3))))

    def reject_one(writer: Any, missing_offers: Any, accepted: Any, *rest: Any) -> Any:
        if accepted[0].offer.source_key == "upc-2":
            raise DataError("INSERT INTO offer", {}, Exception("numeric value out of range"))
        return apply_items(writer, missing_offers, accepted, *rest)

    monkeypatch.setattr(item_cleaning, "RAW_FIELDS", RAW_FIELDS | {"colour"})
    monkeypatch.setattr(replay, "apply_items", reject_one)
    QuarantineStore(engine).queue_replays(ALL_ENTRIES)
    result = Replay(engine).replay_queued()
    assert (dict(result.verdicts), result.rejected) == ({Verdict.ADDED: 2}, 1)
    [entry] = QuarantineStore(engine).list_open(limit=9)
    assert entry.code == "refused_by_database"


def test_a_replayed_prediction_is_stored(engine: Engine) -> None:
    record = prediction()
    bodies = [record.model_dump_json().encode(), b"{}"]
    rejected = [RejectedEntry(f"{PREDICTION_STREAM}/{n}-0", body, (NOT_READ,)) for n, body in enumerate(bodies, 1)]
    with engine.begin() as connection:
        QuarantineWriter(connection).add([entry.for_quarantine() for entry in rejected], now=1)
    result = Replay(engine).replay_all()
    assert (result.verdicts.total(), result.rejected) == (1, 1)
    assert PredictionStore(engine).recent(9) == [record]
    [entry] = QuarantineStore(engine).list_open(limit=9)
    assert entry.code == "invalid_prediction"


def test_a_replayed_run_event_is_applied(engine: Engine, scraped: Any) -> None:
    """The scraper's clock was two days ahead, so its entries can be applied two days later."""
    ahead = 2 * 24 * 60
    crawl = scraped.crawl("run-1", [1], minute=ahead)
    ItemPipeline(engine, clock=lambda: START).ingest(crawl)
    assert BookReader(engine).count() == 0
    assert {entry.code for entry in QuarantineStore(engine).list_open(limit=9)} == {"in_the_future"}
    result = Replay(engine, clock=lambda: START + timedelta(minutes=ahead)).replay_all()
    assert (result.verdicts.total(), result.rejected) == (3, 0)
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.state, run.counts.added, run.counts.quarantined) == (RunState.COMPLETE, 1, 0)
