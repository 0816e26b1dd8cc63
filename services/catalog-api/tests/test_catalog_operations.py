"""What an operator sees and decides: held crawls, quality, quarantine, and books that are gone."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bookwheel_contracts import (
    BookState,
    CrawlRun,
    Expectations,
    FieldError,
    Hold,
    HoldReason,
    RunFinished,
    RunStarted,
    RunState,
    Verdict,
)
from bookwheel_stores.records import RejectedBooks
from bookwheel_stores.records.runs.approvals import RunApprovals
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.quality import RunQualityWriter
from bookwheel_stores.records.runs.quarantine import (
    RUN_DISCARDED_CODE,
    NewQuarantineEntry,
    QuarantineState,
    QuarantineStore,
    QuarantineWriter,
)
from bookwheel_stores.records.values import to_millis
from sqlalchemy import Connection, text

START = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)
NOW = to_millis(START)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MakeToken = Callable[..., str]
REASON = HoldReason(code="share", limit=10, actual=30, message="it would modify 30 and remove 0 of 50 offers")


def ended_run(
    connection: Connection, run_id: str, *, valid: int = 50, filled: Mapping[str, int] = {}, **expect: Any
) -> int:
    """A complete run of the source `shop`."""
    ledger = RunLedger(connection)
    number = ledger.get_or_create({run_id: "shop"}, now=NOW)[run_id]
    started = RunStarted(
        run_id=run_id,
        source="shop",
        start_url="http://shop.example/",
        started_at=START,
        whole_source=True,
        expect=Expectations(**expect),
        traceparent=TRACEPARENT,
    )
    ledger.start(started)
    ledger.add_verdicts(number, {Verdict.UNCHANGED: valid}, last_change=0, now=NOW)
    ledger.finish(
        RunFinished(
            run_id=run_id,
            source="shop",
            finished_at=START + timedelta(minutes=4),
            state=RunState.COMPLETE,
            reason=None,
            scraped=valid,
            pages=valid,
            errors=0,
            traceparent=TRACEPARENT,
        )
    )
    RunQualityWriter(connection).add_valid(number, valid=valid, filled={"title": valid, **filled})
    RunApprovals(connection).update(number, state=RunState.COMPLETE.value)
    return number


def quarantine(connection: Connection, number: int, *, code: str = "not_a_price", source: str = "shop") -> None:
    reason = FieldError(field="price", code=code, message="is no price: 'tuppence'")
    body = b'{"kind":"item","n":%d}' % number
    one = NewQuarantineEntry(f"bookwheel:raw/{number}-0", "run-1", source, "http://shop.example/1", body, (reason,))
    QuarantineWriter(connection).add([one], now=NOW)


@pytest.fixture
def operator(make_token: MakeToken) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_token('admin')}"}


@pytest.fixture
def held(suite: Any) -> str:
    with suite.engine.begin() as connection:
        number = ended_run(connection, "run-1")
        RunApprovals(connection).hold(number, Hold(reasons=(REASON,), known=50, modifies=30, removes=0))
    return "run-1"


async def test_held_crawls_are_listed_with_their_reasons(held: str, client: httpx.AsyncClient) -> None:
    [item] = (await client.get("/crawls?state=held")).json()["items"]
    run = CrawlRun.model_validate(item)
    assert (run.id, run.reason, run.searchable) == (held, REASON.message, False)
    assert run.hold is not None
    assert run.hold.reasons == (REASON,)
    assert (await client.get("/crawls?state=complete")).json()["items"] == []
    assert (await client.get("/crawls?state=lost")).status_code == 400


@pytest.mark.parametrize(("verb", "decision"), [("release", "released"), ("discard", "discarded")])
async def test_an_operator_decides_on_a_held_crawl_once(
    held: str, client: httpx.AsyncClient, operator: dict[str, str], verb: str, decision: str
) -> None:
    answer = await client.post(f"/crawls/{held}/{verb}", headers=operator)
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    assert answer.json()["hold"]["decision"] == decision
    assert answer.json()["hold"]["decided_by"] == "user:1"
    again = await client.post(f"/crawls/{held}/release", headers=operator)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_only_an_operator_decides(held: str, client: httpx.AsyncClient, make_token: MakeToken) -> None:
    crawler = {"Authorization": f"Bearer {make_token('catalog:read crawl:write')}"}
    for path in (
        f"/crawls/{held}/release",
        f"/crawls/{held}/discard",
        "/quarantine/1/replay",
    ):
        assert (await client.post(path, headers=crawler)).status_code == 403
    assert (await client.post("/quarantine/replay", json={}, headers=crawler)).status_code == 403


async def test_there_is_no_decision_on_a_crawl_that_is_not(client: httpx.AsyncClient, operator: dict[str, str]) -> None:
    assert (await client.post("/crawls/none/release", headers=operator)).status_code == 404


async def test_a_removed_book_is_gone_and_its_history_stays(filled: Any, client: httpx.AsyncClient) -> None:
    with filled.engine.begin() as connection:
        connection.execute(text("UPDATE book SET removed_at = :at WHERE book_id = 'demo:1'"), {"at": NOW})
    answer = await client.get("/books/demo:1")
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")
    assert "2026-01-30T12:00:00.000Z" in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/books/demo:1/history")).json()["observations"]


async def test_a_fall_in_a_field_shows_beside_earlier_runs(suite: Any, client: httpx.AsyncClient) -> None:
    with suite.engine.begin() as connection:
        ended_run(connection, "run-1", filled={"price": 50, "rating": 25})
        ended_run(connection, "run-2", filled={"price": 50, "rating": 25})
        ended_run(connection, "run-3", filled={"price": 5, "rating": 24}, items=60, fill={"price": 0.9})
    [report] = (await client.get("/quality")).json()["items"]
    assert (report["source"], report["run_id"], report["items"], report["fell"]) == ("shop", "run-3", 50, True)
    assert report["earlier_runs"] == ["run-2", "run-1"]
    fields = {field["field"]: field for field in report["fields"]}
    assert fields["price"] == {
        "field": "price",
        "filled": 5,
        "fill_rate": 0.1,
        "earlier": 1.0,
        "fall": 0.9,
        "fell": True,
    }
    assert (fields["rating"]["fall"], fields["rating"]["fell"]) == (0.02, False)
    assert [(each["kind"], each["field"], each["holds"]) for each in report["assertions"]] == [
        ("items", None, False),
        ("fill", "price", False),
    ]


async def test_more_items_that_the_rules_refuse_are_a_fall_too(suite: Any, client: httpx.AsyncClient) -> None:
    with suite.engine.begin() as connection:
        ended_run(connection, "run-1")
        number = ended_run(connection, "run-2", valid=30)
        RunQualityWriter(connection).add_invalid(number, invalid=20, error_counts={("price", "not_a_price"): 20})
    [report] = (await client.get("/quality", params={"run": "run-2"})).json()["items"]
    assert (report["validity"], report["earlier_validity"], report["validity_fall"]) == (0.6, 1.0, 0.4)
    assert report["fell"]
    assert report["faults"] == [{"field": "price", "code": "not_a_price", "items": 20}]


async def test_a_run_that_finds_nothing_any_more_has_fallen(suite: Any, client: httpx.AsyncClient) -> None:
    with suite.engine.begin() as connection:
        ended_run(connection, "run-1")
        ended_run(connection, "run-2", valid=0, items=10)
        RunLedger(connection).get_or_create({"run-3": "shop"}, now=NOW)  # under way, with nothing to tell yet
    [report] = (await client.get("/quality")).json()["items"]
    assert (report["run_id"], report["items"], report["validity"], report["fell"]) == ("run-2", 0, None, True)
    assert [(each["kind"], each["holds"]) for each in report["assertions"]] == [("items", False)]
    found = (await client.get("/quality/shop")).json()["items"]
    assert [report["run_id"] for report in found] == ["run-2", "run-1"]
    [running] = (await client.get("/quality?run=run-3")).json()["items"]
    assert not running["fell"]


async def test_the_runs_of_a_source_come_newest_first(suite: Any, client: httpx.AsyncClient) -> None:
    with suite.engine.begin() as connection:
        for number in range(1, 4):
            ended_run(connection, f"run-{number}")
    found = (await client.get("/quality/shop?limit=2")).json()["items"]
    assert [report["run_id"] for report in found] == ["run-3", "run-2"]
    [first] = (await client.get("/quality/shop", params={"run": "run-1"})).json()["items"]
    assert (first["run_id"], first["earlier_runs"], first["fell"]) == ("run-1", [], False)
    for path in ("/quality/none", "/quality/other?run=run-1", "/quality?run=none"):
        assert (await client.get(path)).status_code == 404


async def test_quarantine_is_read_in_pages_and_by_its_reasons(suite: Any, client: httpx.AsyncClient) -> None:
    with suite.engine.begin() as connection:
        for number in range(1, 6):
            quarantine(connection, number, code="not_a_price" if number < 4 else "missing")
        quarantine(connection, 6, source="rival")
    first = (await client.get("/quarantine?limit=2&code=not_a_price&source=shop&run=run-1")).json()
    assert (first["total"], len(first["items"])) == (3, 2)
    assert first["items"][0]["reasons"][0]["field"] == "price"
    assert first["items"][0]["body"] is None
    rest = (await client.get("/quarantine", params={"code": "not_a_price", "after": first["next"]})).json()
    assert [item["source"] for item in rest["items"]] == ["shop", "rival"]
    assert rest["next"] is None
    number = first["items"][0]["id"]
    whole = (await client.get(f"/quarantine/{number}")).json()
    assert (whole["body"], whole["truncated"], whole["state"]) == ('{"kind":"item","n":1}', False, "open")
    assert (await client.get("/quarantine/999")).status_code == 404
    assert (await client.get("/quarantine/none")).status_code == 400


async def test_a_replay_is_queued_for_the_processor(
    suite: Any, client: httpx.AsyncClient, operator: dict[str, str]
) -> None:
    with suite.engine.begin() as connection:
        for number in range(1, 4):
            quarantine(connection, number, code=RUN_DISCARDED_CODE if number == 3 else "not_a_price")
    store = QuarantineStore(suite.engine)
    one = store.list_open(limit=1)[0].number
    answer = await client.post(f"/quarantine/{one}/replay", headers=operator)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.headers["location"] == f"/api/v1/quarantine/{one}"
    assert (await client.post(f"/quarantine/{one}/replay", headers=operator)).status_code == 409
    assert (await client.post("/quarantine/999/replay", headers=operator)).status_code == 404
    rest = await client.post("/quarantine/replay", json={"source": "shop"}, headers=operator)
    assert (rest.status_code, rest.json()) == (202, {"queued": 1})
    assert store.count(state=QuarantineState.QUEUED) == 2
    assert (await client.post("/quarantine/replay", json={"code": RUN_DISCARDED_CODE}, headers=operator)).json() == {
        "queued": 1
    }
    assert (await client.post("/quarantine/replay", json={"colour": "red"}, headers=operator)).status_code == 400


async def test_a_book_that_the_index_refused_is_shown_and_waits_for_the_index_alone(
    suite: Any, client: httpx.AsyncClient, operator: dict[str, str]
) -> None:
    book = BookState(7, "shop:seven", 3, False, b'{"id":"shop:seven"}')
    RejectedBooks(suite.engine).update([(book, "400 too strange")], now=NOW, is_resolved=lambda _: False)
    [item] = (await client.get("/quarantine?code=refused_by_index")).json()["items"]
    assert item["reasons"][0]["message"] == "shop:seven, revision 3: 400 too strange"
    answer = await client.post(f"/quarantine/{item['id']}/replay", headers=operator)
    assert (answer.status_code, "indexing is retried every minute" in answer.json()["detail"]) == (409, True)
    assert (await client.post("/quarantine/replay", json={}, headers=operator)).json() == {"queued": 0}
    RejectedBooks(suite.engine).update([], now=NOW, is_resolved=lambda _: True)
    assert (await client.get(f"/quarantine/{item['id']}")).json()["state"] == "replayed"
