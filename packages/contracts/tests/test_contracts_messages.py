"""Serialization and validation of messages, money, claims and errors."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from bookwheel_contracts import Claims, Money, RawItem, RunFinished, RunStarted, RunState, Scope, parse_stream_message
from bookwheel_contracts.problems import BookwheelError, FieldError, NotFoundError
from pydantic import ValidationError

NOW = datetime(2026, 1, 31, 8, 15, tzinfo=UTC)
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
ITEM = RawItem(
    run_id="r1",
    item_number=1,
    source="demo",
    url="http://shop.test/1",
    scraped_at=NOW,
    payload={"title": "Ünïcode \u202e", "authors": ["A", None]},
    fingerprint="f" * 64,
    traceparent=TRACEPARENT,
)
STARTED = RunStarted(run_id="r1", source="demo", start_url="http://shop.test/", started_at=NOW, traceparent=TRACEPARENT)
FINISHED = RunFinished(
    run_id="r1",
    source="demo",
    finished_at=NOW,
    state=RunState.COMPLETE,
    reason=None,
    scraped=1,
    pages=2,
    errors=0,
    traceparent=TRACEPARENT,
)


@pytest.mark.parametrize("message", [ITEM, STARTED, FINISHED], ids=lambda message: message.kind)
def test_a_message_is_unchanged_after_serialization(message: RawItem | RunStarted | RunFinished) -> None:
    assert parse_stream_message(message.model_dump_json().encode()) == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"kind": "other"}',
        ITEM.model_dump_json().replace('"item_number":1', '"item_number":0').encode(),
        ITEM.model_dump_json().replace('"run_id"', '"run"').encode(),
        ITEM.model_dump_json().replace("2026-01-31T08:15:00.000Z", "2026-01-31T08:15:00").encode(),
        b'{"kind": "item", "payload": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    ],
)
def test_an_invalid_message_is_rejected(body: bytes) -> None:
    with pytest.raises(ValidationError):
        parse_stream_message(body)


def test_times_are_utc_with_milliseconds() -> None:
    time_zone = timezone(timedelta(hours=2))
    item = ITEM.model_copy(update={"scraped_at": datetime(2026, 6, 1, 1, 30, tzinfo=time_zone)})
    assert '"scraped_at":"2026-05-31T23:30:00.000Z"' in item.model_dump_json()


def test_money_is_an_exact_decimal_string() -> None:
    assert Money(amount=Decimal("51.70"), currency="GBP").model_dump_json() == '{"amount":"51.70","currency":"GBP"}'


@pytest.mark.parametrize(
    ("amount", "currency"), [("-1", "GBP"), ("1", "gbp"), ("NaN", "GBP"), ("Infinity", "GBP"), ("1e15", "GBP")]
)
def test_invalid_money_is_rejected(amount: str, currency: str) -> None:
    with pytest.raises(ValidationError):
        Money(amount=Decimal(amount), currency=currency)


def test_admin_has_every_scope_and_others_only_their_own() -> None:
    reader = Claims(sub="u", scopes=frozenset({Scope.CATALOG_READ}), expires_at=0)
    admin = Claims(sub="u", scopes=frozenset({Scope.ADMIN}), expires_at=0)
    assert reader.allows(Scope.CATALOG_READ)
    assert not reader.allows(Scope.CRAWL_WRITE)
    assert all(admin.allows(scope) for scope in Scope)


def test_every_error_has_its_own_code_and_is_rendered_as_a_problem() -> None:
    error_classes: list[type[BookwheelError]] = [BookwheelError, *BookwheelError.__subclasses__()]
    assert len({error_class.code for error_class in error_classes}) == len(error_classes)
    problem = NotFoundError("no book x", errors=(FieldError(field="id", code="c", message="m"),)).problem(
        instance="/b/x"
    )
    assert (problem.status, problem.code, problem.instance) == (404, "not_found", "/b/x")
    assert problem.type.endswith("#not_found")
