"""Hostile and broken items are quarantined with a clear reason, and the other items of the batch are ingested."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from bookwheel_contracts import RunState, Verdict
from bookwheel_contracts.crawls import RAW_FIELDS
from bookwheel_processor.cleaning import item as item_cleaning
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_processor.replay import Replay
from bookwheel_stores.records import BookReader, RunStore
from bookwheel_stores.records.runs.approvals import RunApprovals
from bookwheel_stores.records.runs.quality import RunQualityWriter
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from bookwheel_stores.records.tables import run_fault
from sqlalchemy import Engine, func, select

MEGABYTE = 1_000_000


def as_entry(scraped: Any, **changes: Any) -> bytes:
    """An item whose envelope has these fields."""
    return orjson.dumps(scraped.item(2).model_dump(mode="json") | changes)


def with_payload(scraped: Any, raw: bytes) -> bytes:
    """An item with additional JSON in its payload."""
    body: bytes = scraped.item(2).model_dump_json().encode()
    return body.replace(b'"payload":{', b'"payload":{' + raw + b",")


def check(engine: Engine, scraped: Any, body: bytes, field: str, code: str) -> None:
    """Check that the entry is quarantined for this reason, its neighbors are stored, and the run's counts add up."""
    entries = scraped.entries(scraped.started(), scraped.item(1), body, scraped.item(3), scraped.finished(scraped=3))
    ItemPipeline(engine).ingest(entries)
    assert BookReader(engine).count() == 2
    [entry] = QuarantineStore(engine).list_open(limit=9)
    assert (field, code) in [(reason.field, reason.code) for reason in entry.reasons]
    assert all(0 < len(reason.message) <= 1000 for reason in entry.reasons)
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.state, run.counts.added, run.counts.quarantined) == (RunState.COMPLETE, 2, 1)


@pytest.mark.parametrize(
    ("payload", "field", "code"),
    [
        ({"title": "x" * 10 * MEGABYTE}, "title", "string_too_long"),
        ({"title": {"en": "A title"}}, "title", "not_text"),
        ({"title": "\x00\x00"}, "title", "missing"),
    ],
)
def test_an_invalid_payload_is_quarantined(
    engine: Engine, scraped: Any, payload: dict[str, Any], field: str, code: str
) -> None:
    check(engine, scraped, scraped.item(2, **payload).model_dump_json().encode(), field, code)


@pytest.mark.parametrize(
    ("payload", "field", "code"),
    [
        ({"price": "9" * 10 * MEGABYTE}, "price", "too_long"),
        ({"price": "£-5.00"}, "price", "negative"),
        ({"price": -5, "currency": "GBP"}, "price", "negative"),
        ({"price": "£99999999999999"}, "price", "too_large"),
        ({"price": "£9999999999.99999"}, "price", "too_large"),
        ({"price": 1e308, "currency": "GBP"}, "price", "too_long"),
        ({"price": "5.00", "currency": "₿₿"}, "price", "unknown_currency"),
        ({"price": "5.00"}, "price", "no_currency"),
        ({"stock": 10**15}, "stock", "too_large"),
        ({"stock": "minus three"}, "stock", "not_a_count"),
        ({"stock": "4.5"}, "stock", "fractional"),
        ({"rating": "11/10"}, "rating", "out_of_range"),
        ({"rating": "NaN"}, "rating", "not_a_rating"),
        ({"authors": [f"Author {n}" for n in range(1000)]}, "authors", "too_many"),
        ({"description": "x" * 10 * MEGABYTE}, "description", "string_too_long"),
        ({"category": "c" * 2000}, "category", "string_too_long"),
    ],
)
def test_an_unreadable_field_keeps_no_book_out(
    engine: Engine, scraped: Any, payload: dict[str, Any], field: str, code: str
) -> None:
    item = scraped.item(2, **payload)
    assert (field, code) in [(fault.field, fault.code) for fault in item_cleaning.clean_item(item).faults]
    ItemPipeline(engine).ingest(scraped.entries(scraped.item(1), item, scraped.item(3)))
    assert BookReader(engine).count() == 3
    assert QuarantineStore(engine).count() == 0


def test_deep_json(engine: Engine, scraped: Any) -> None:
    deep = b'"title":' + b"[" * 100_000 + b"]" * 100_000
    check(engine, scraped, with_payload(scraped, deep), "entry", "json_invalid")


def test_deep_but_valid_json_loses_only_its_field(engine: Engine, scraped: Any) -> None:
    body = with_payload(scraped, b'"language":' + b"[" * 100 + b"]" * 100)
    ItemPipeline(engine).ingest(scraped.entries(body))
    [book] = BookReader(engine).page(after_number=0, limit=9)
    assert (book.title, book.language) == ("Book 2", None)


@pytest.mark.parametrize("raw", [b'"language":"\\ud800"', b'"language":"\xed\xa0\x80"', b'"language":"\xff"'])
def test_a_lone_surrogate_and_bytes_that_are_not_utf_8(engine: Engine, scraped: Any, raw: bytes) -> None:
    check(engine, scraped, with_payload(scraped, raw), "entry", "json_invalid")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_nan_and_infinity_are_no_price(engine: Engine, scraped: Any, number: bytes) -> None:
    body = scraped.item(2, price="PRICE").model_dump_json().encode().replace(b'"PRICE"', number)
    ItemPipeline(engine).ingest(scraped.entries(scraped.item(1), body, scraped.item(3)))
    book = BookReader(engine).get("shop:upc-2")
    assert book is not None
    assert book.price is None


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"schema_version": 99}, "schema_version", "unknown_version"),
        ({"schema_version": 0}, "schema_version", "unknown_version"),
        ({"url": "javascript:alert(1)"}, "url", "not_a_url"),
        ({"url": "http://shop.example/" + "x" * 5000}, "url", "too_long"),
        ({"source": "isbn"}, "source", "reserved"),
        ({"source": "a b"}, "source", "string_pattern_mismatch"),
        ({"colour": "red"}, "entry", "extra_forbidden"),
        ({"scraped_at": "2026-01-31T08:00:00"}, "entry", "timezone_aware"),
        ({"scraped_at": "yesterday"}, "entry", "datetime_from_date_parsing"),
        ({"scraped_at": "+100000-01-01T00:00:00Z"}, "entry", "datetime_from_date_parsing"),
    ],
)
def test_an_invalid_envelope_is_quarantined(
    engine: Engine, scraped: Any, changes: dict[str, Any], field: str, code: str
) -> None:
    if changes.get("source"):
        entries = scraped.entries(scraped.item(1), as_entry(scraped, run_id="run-x", **changes), scraped.item(3))
        ItemPipeline(engine).ingest(entries)
        assert BookReader(engine).count() == 2
        [entry] = QuarantineStore(engine).list_open(limit=9)
        assert (entry.reasons[0].field, entry.reasons[0].code) == (field, code)
    else:
        check(engine, scraped, as_entry(scraped, **changes), field, code)


@pytest.mark.parametrize("years", [1, 50, 7000])
def test_an_item_from_the_future_is_rejected(engine: Engine, scraped: Any, years: int) -> None:
    """Until its time, it would be the newest item of its offer, and the offer could not change."""
    moment = datetime.now(UTC) + timedelta(days=365 * years)
    check(engine, scraped, as_entry(scraped, scraped_at=moment.isoformat()), "scraped_at", "in_the_future")


@pytest.mark.parametrize("version", [-5, 0, 99])
def test_a_run_event_of_an_unknown_version_is_rejected(engine: Engine, scraped: Any, version: int) -> None:
    messages = [scraped.started(), scraped.finished(scraped=1)]
    changed = [
        message.model_copy(update={"schema_version": version}).model_dump_json().encode() for message in messages
    ]
    ItemPipeline(engine).ingest(scraped.entries(changed[0], scraped.item(1), changed[1]))
    assert [entry.code for entry in QuarantineStore(engine).list_open(limit=9)] == ["unknown_version"] * 2
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.state, run.counts.added) == (RunState.RUNNING, 1)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"schema_version": 99}, "unknown_version"),
        ({"started_at": datetime(9000, 1, 1, tzinfo=UTC)}, "in_the_future"),
        ({"run_id": "run-2"}, "value_error"),
        ({"source": "rival"}, "value_error"),
    ],
)
def test_a_run_s_end_with_an_invalid_start_is_rejected(
    engine: Engine, scraped: Any, changes: dict[str, Any], code: str
) -> None:
    end = scraped.finished(scraped=0).model_copy(update={"start": scraped.started().model_copy(update=changes)})
    ItemPipeline(engine).ingest(scraped.entries(end))
    assert [entry.code for entry in QuarantineStore(engine).list_open(limit=9)] == [code]


def test_runs_from_the_future_do_not_remove_books(engine: Engine, scraped: Any) -> None:
    years = 60 * 24 * 365 * 50
    for number in (1, 2):
        ItemPipeline(engine).ingest(scraped.crawl(f"ahead-{number}", [1, 2], minute=years * number))
    ItemPipeline(engine).ingest(scraped.crawl("run-1", [1, 2, 3]))
    assert {book.id for book in BookReader(engine).page(after_number=0, limit=9)} == {
        f"shop:upc-{key}" for key in (1, 2, 3)
    }


def test_an_item_from_a_clock_slightly_ahead_is_accepted(engine: Engine, scraped: Any) -> None:
    moment = datetime.now(UTC) + timedelta(minutes=3)
    ItemPipeline(engine).ingest(scraped.entries(as_entry(scraped, scraped_at=moment.isoformat())))
    assert BookReader(engine).count() == 1


@pytest.mark.parametrize("currency", ["XAU", "XTS", "ZWL", "zzz", "BTC"])
def test_an_unusual_currency_code_is_stored_as_its_own_currency(engine: Engine, scraped: Any, currency: str) -> None:
    """Any three letters are accepted. Prices in different currencies are never compared."""
    ItemPipeline(engine).ingest(scraped.entries(scraped.item(1), scraped.item(2, price="5.00", currency=currency)))
    book = BookReader(engine).get("shop:upc-2")
    assert book is not None
    assert book.price is not None
    assert book.price.currency == currency.upper()


def test_nul_bytes_and_hidden_characters_are_removed(engine: Engine, scraped: Any) -> None:
    ItemPipeline(engine).ingest(scraped.entries(scraped.item(1, title="A\x00 ti\u202etle\u200b", authors=["\x00"])))
    [book] = BookReader(engine).page(after_number=0, limit=9)
    assert book.title == "A title"
    assert book.authors == ()


def test_a_nul_byte_in_a_quarantined_body(engine: Engine, scraped: Any) -> None:
    ItemPipeline(engine).ingest(scraped.entries(scraped.item(1), b"\x00{}", scraped.item(3)))
    [entry] = QuarantineStore(engine).list_open(limit=9)
    assert entry.body == "\\x00{}"
    assert BookReader(engine).count() == 2


def test_one_category_per_item(engine: Engine, scraped: Any) -> None:
    """A category is a text of its book. There is no row per category."""
    items = [scraped.item(n, category=f"Category {n}") for n in range(1, 5001)]
    ingest = ItemPipeline(engine)
    for at in range(0, len(items), 500):
        ingest.ingest(scraped.entries(*items[at : at + 500]))
    assert BookReader(engine).count() == 5000


def test_any_number_of_unknown_fields_count_as_payload(engine: Engine, scraped: Any) -> None:
    items = [scraped.item(n, **{f"field {n}": "x"}) for n in range(1, 301)]
    ItemPipeline(engine).ingest(scraped.entries(*items))
    with engine.begin() as connection:
        [row] = connection.execute(select(run_fault)).all()
    assert (row.field, row.code, row.refused) == ("payload", "unknown_field", 300)


def test_ten_megabytes_of_reasons_are_cut(engine: Engine, scraped: Any) -> None:
    payload = {f"{n:x>500}": n for n in range(2000)}
    ItemPipeline(engine).ingest(scraped.entries(scraped.item(1, **payload)))
    [entry] = QuarantineStore(engine).list_open(limit=9)
    assert len(entry.reasons) <= 100


def test_one_poison_item_in_a_thousand(engine: Engine, scraped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [scraped.item(n, **({"colour": "red"} if n == 500 else {})) for n in range(1, 1001)]
    ItemPipeline(engine).ingest(scraped.entries(scraped.started(), *items, scraped.finished(scraped=1000)))
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.state, run.counts.added, run.counts.quarantined) == (RunState.COMPLETE, 999, 1)
    [entry] = QuarantineStore(engine).list_open(limit=9)
    assert [(reason.field, reason.code) for reason in entry.reasons] == [("'colour'", "unknown_field")]

    monkeypatch.setattr(item_cleaning, "RAW_FIELDS", RAW_FIELDS | {"colour"})
    assert Replay(engine).replay_all().verdicts == {Verdict.ADDED: 1}
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.counts.added, run.counts.quarantined) == (1000, 0)
    assert BookReader(engine).get("shop:upc-500") is not None


def test_quality_counts_follow_a_replay_but_not_a_redelivery(
    engine: Engine, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = scraped.entries(
        scraped.item(1, rating="4"), scraped.item(2, colour="red", rating="4"), scraped.item(3, price=None)
    )
    ItemPipeline(engine).ingest(entries)
    ItemPipeline(engine).ingest(entries)
    with engine.begin() as connection:
        [row] = RunApprovals(connection).get([1])
        filled = RunQualityWriter(connection).filled_counts(row.number)
        assert (filled["title"], filled["price"], filled["rating"], filled.get("isbn13")) == (2, 1, 1, None)
        assert connection.scalar(select(func.sum(run_fault.c.refused))) == 1
    monkeypatch.setattr(item_cleaning, "RAW_FIELDS", RAW_FIELDS | {"colour"})
    Replay(engine).replay_all()
    with engine.begin() as connection:
        filled = RunQualityWriter(connection).filled_counts(1)
        assert (filled["title"], filled["price"], filled["rating"]) == (3, 2, 2)
        assert connection.scalar(select(func.sum(run_fault.c.refused))) == 0


def test_every_reason_has_a_stable_code(engine: Engine, scraped: Any) -> None:
    ItemPipeline(engine).ingest(
        scraped.entries(b"", b"[]", b'{"kind":"x"}', scraped.item(1, title=[], price=[], key={}))
    )
    codes = {reason.code for entry in QuarantineStore(engine).list_open(limit=9) for reason in entry.reasons}
    assert codes
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)
