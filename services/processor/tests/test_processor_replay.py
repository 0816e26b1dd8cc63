"""What is in quarantine comes back once the rules understand it."""

from decimal import Decimal
from typing import Any

import pytest
from bookwheel_contracts import Money, RunState, Verdict, parse_stream_message
from bookwheel_processor import deliveries
from bookwheel_processor.cleaning import item as cleaning
from bookwheel_processor.ingest import Ingest
from bookwheel_processor.replay import Replay
from bookwheel_stores.records import BookReader, RunStore
from bookwheel_stores.records.quarantine_store import QuarantineStore
from sqlalchemy import Engine


@pytest.fixture
def quarantined(engine: Engine, scraped: Any) -> Engine:
    items = [scraped.item(1), scraped.item(2, price="tuppence"), scraped.item(3, title=None)]
    Ingest(engine).take(scraped.entries(*items, b"noise", scraped.finished(scraped=3)))
    return engine


def test_what_is_still_wrong_stays(quarantined: Engine) -> None:
    result = Replay(quarantined).all()
    assert (dict(result.verdicts), result.rejected) == ({}, 3)
    assert QuarantineStore(quarantined).count() == 3


def test_what_is_understood_now_moves_its_accounting(quarantined: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "clean_price", lambda *_: Money(amount=Decimal("0.02"), currency="GBP"))
    result = Replay(quarantined).all()
    assert (dict(result.verdicts), result.rejected) == ({Verdict.ADDED: 1}, 2)
    run = RunStore(quarantined).get("run-1")
    assert run is not None
    assert (run.counts.added, run.counts.quarantined, run.counts.scraped) == (2, 1, 3)
    assert run.state is RunState.COMPLETE
    assert BookReader(quarantined).get("shop:upc-2") is not None
    assert Replay(quarantined).all().verdicts == {}, "once is enough"


def test_one_is_replayed_by_its_number(quarantined: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = next(kept for kept in QuarantineStore(quarantined).open(limit=9) if kept.reasons[0].field == "price")
    assert Replay(quarantined).number(99) is None
    monkeypatch.setattr(cleaning, "clean_price", lambda *_: None)
    result = Replay(quarantined).number(wanted.number)
    assert result is not None
    assert result.verdicts == {Verdict.ADDED: 1}
    assert Replay(quarantined).number(wanted.number) is None


def test_an_item_that_told_nothing_of_itself_counts_when_it_is_read_at_last(
    engine: Engine, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scraped.item(1).model_dump_json().encode()
    shifted = b" " * 5000 + whole  # its beginning, where run and number are looked for, is blank
    monkeypatch.setattr(deliveries, "parse_stream_message", lambda _body: parse_stream_message(b"?"))
    Ingest(engine).take(scraped.entries(shifted))
    assert RunStore(engine).get("run-1") is None
    monkeypatch.setattr(deliveries, "parse_stream_message", parse_stream_message)
    assert Replay(engine).all().verdicts == {Verdict.ADDED: 1}
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.counts.added, run.counts.quarantined) == (1, 0)
