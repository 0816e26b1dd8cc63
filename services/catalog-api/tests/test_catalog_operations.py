"""Tests of operations: held crawls, quality reports, quarantine and removed books."""

from collections.abc import Mapping
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
from bookwheel_testing.internal_tokens import internal_token
from sqlalchemy import Connection, text

START = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)
NOW = to_millis(START)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REASON = HoldReason(code="share", limit=10, actual=30, message="it would modify 30 and remove 0 of 50 offers")


def add_complete_run(
    connection: Connection, run_id: str, *, valid: int = 50, filled: Mapping[str, int] = {}, **expect: Any
) -> int:
    """Stores a complete run of the source `shop`. Returns its number."""
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
    entry = NewQuarantineEntry(f"bookwheel:raw/{number}-0", "run-1", source, "http://shop.example/1", body, (reason,))
    QuarantineWriter(connection).add([entry], now=NOW)


@pytest.fixture
def operator() -> dict[str, str]:
    return {"Authorization": f"Bearer {internal_token('admin')}"}


@pytest.fixture
def held(stores: Any) -> str:
    with stores.engine.begin() as connection:
        number = add_complete_run(connection, "run-1")
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
async def test_held_crawl_can_be_decided_once(
    held: str, client: httpx.AsyncClient, operator: dict[str, str], verb: str, decision: str
) -> None:
    response = await client.post(f"/crawls/{held}/{verb}", headers=operator)
    assert (response.status_code, response.json()["state"]) == (202, "running")
    assert response.json()["hold"]["decision"] == decision
    assert response.json()["hold"]["decided_by"] == "user:1"
    again = await client.post(f"/crawls/{held}/release", headers=operator)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_only_an_operator_can_decide(held: str, client: httpx.AsyncClient) -> None:
    crawler = {"Authorization": f"Bearer {internal_token('catalog:read crawl:write')}"}
    for path in (
        f"/crawls/{held}/release",
        f"/crawls/{held}/discard",
        "/quarantine/1/replay",
    ):
        assert (await client.post(path, headers=crawler)).status_code == 403
    assert (await client.post("/quarantine/replay", json={}, headers=crawler)).status_code == 403


async def test_decision_on_an_unknown_crawl_returns_404(client: httpx.AsyncClient, operator: dict[str, str]) -> None:
    assert (await client.post("/crawls/none/release", headers=operator)).status_code == 404


async def test_removed_book_returns_410_and_keeps_its_history(filled: Any, client: httpx.AsyncClient) -> None:
    with filled.engine.begin() as connection:
        connection.execute(text("UPDATE book SET removed_at = :at WHERE book_id = 'demo:1'"), {"at": NOW})
    response = await client.get("/books/demo:1")
    assert (response.status_code, response.json()["code"]) == (410, "gone")
    assert "2026-01-30T12:00:00.000Z" in response.json()["detail"]
    assert response.headers["content-type"] == "application/problem+json"
    assert (await client.get("/books/demo:1/history")).json()["observations"]


async def test_report_shows_a_lower_fill_rate_than_in_earlier_runs(stores: Any, client: httpx.AsyncClient) -> None:
    with stores.engine.begin() as connection:
        add_complete_run(connection, "run-1", filled={"price": 50, "rating": 25})
        add_complete_run(connection, "run-2", filled={"price": 50, "rating": 25})
        add_complete_run(connection, "run-3", filled={"price": 5, "rating": 24}, items=60, fill={"price": 0.9})
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
    assert [(item["kind"], item["field"], item["holds"]) for item in report["assertions"]] == [
        ("items", None, False),
        ("fill", "price", False),
    ]


async def test_report_shows_a_lower_validity_than_in_earlier_runs(stores: Any, client: httpx.AsyncClient) -> None:
    with stores.engine.begin() as connection:
        add_complete_run(connection, "run-1")
        number = add_complete_run(connection, "run-2", valid=30)
        RunQualityWriter(connection).add_invalid(number, invalid=20, error_counts={("price", "not_a_price"): 20})
    [report] = (await client.get("/quality", params={"run": "run-2"})).json()["items"]
    assert (report["validity"], report["earlier_validity"], report["validity_fall"]) == (0.6, 1.0, 0.4)
    assert report["fell"]
    assert report["faults"] == [{"field": "price", "code": "not_a_price", "items": 20}]


async def test_report_of_an_empty_run_is_marked_as_fallen(stores: Any, client: httpx.AsyncClient) -> None:
    with stores.engine.begin() as connection:
        add_complete_run(connection, "run-1")
        add_complete_run(connection, "run-2", valid=0, items=10)
        RunLedger(connection).get_or_create({"run-3": "shop"}, now=NOW)  # running, without items
    [report] = (await client.get("/quality")).json()["items"]
    assert (report["run_id"], report["items"], report["validity"], report["fell"]) == ("run-2", 0, None, True)
    assert [(item["kind"], item["holds"]) for item in report["assertions"]] == [("items", False)]
    reports = (await client.get("/quality/shop")).json()["items"]
    assert [report["run_id"] for report in reports] == ["run-2", "run-1"]
    [running] = (await client.get("/quality?run=run-3")).json()["items"]
    assert not running["fell"]


async def test_reports_of_a_source_are_newest_first(stores: Any, client: httpx.AsyncClient) -> None:
    with stores.engine.begin() as connection:
        for number in range(1, 4):
            add_complete_run(connection, f"run-{number}")
    reports = (await client.get("/quality/shop?limit=2")).json()["items"]
    assert [report["run_id"] for report in reports] == ["run-3", "run-2"]
    [first] = (await client.get("/quality/shop", params={"run": "run-1"})).json()["items"]
    assert (first["run_id"], first["earlier_runs"], first["fell"]) == ("run-1", [], False)
    for path in ("/quality/none", "/quality/other?run=run-1", "/quality?run=none"):
        assert (await client.get(path)).status_code == 404


async def test_quarantine_is_paged_and_filtered(stores: Any, client: httpx.AsyncClient) -> None:
    with stores.engine.begin() as connection:
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
    details = (await client.get(f"/quarantine/{number}")).json()
    assert (details["body"], details["truncated"], details["state"]) == ('{"kind":"item","n":1}', False, "open")
    assert (await client.get("/quarantine/999")).status_code == 404
    assert (await client.get("/quarantine/none")).status_code == 400


async def test_replay_queues_entries_for_the_processor(
    stores: Any, client: httpx.AsyncClient, operator: dict[str, str]
) -> None:
    with stores.engine.begin() as connection:
        for number in range(1, 4):
            quarantine(connection, number, code=RUN_DISCARDED_CODE if number == 3 else "not_a_price")
    store = QuarantineStore(stores.engine)
    number = store.list_open(limit=1)[0].number
    response = await client.post(f"/quarantine/{number}/replay", headers=operator)
    assert (response.status_code, response.json()["state"]) == (202, "queued")
    assert response.headers["location"] == f"/api/v1/quarantine/{number}"
    assert (await client.post(f"/quarantine/{number}/replay", headers=operator)).status_code == 409
    assert (await client.post("/quarantine/999/replay", headers=operator)).status_code == 404
    rest = await client.post("/quarantine/replay", json={"source": "shop"}, headers=operator)
    assert (rest.status_code, rest.json()) == (202, {"queued": 1})
    assert store.count(state=QuarantineState.QUEUED) == 2
    assert (await client.post("/quarantine/replay", json={"code": RUN_DISCARDED_CODE}, headers=operator)).json() == {
        "queued": 1
    }
    assert (await client.post("/quarantine/replay", json={"colour": "red"}, headers=operator)).status_code == 400


async def test_book_rejected_by_the_index_is_listed_and_not_replayed(
    stores: Any, client: httpx.AsyncClient, operator: dict[str, str]
) -> None:
    book = BookState(7, "shop:seven", 3, False, b'{"id":"shop:seven"}')
    RejectedBooks(stores.engine).update([(book, "400 too strange")], now=NOW, is_resolved=lambda _: False)
    [item] = (await client.get("/quarantine?code=refused_by_index")).json()["items"]
    assert item["reasons"][0]["message"] == "shop:seven, revision 3: 400 too strange"
    response = await client.post(f"/quarantine/{item['id']}/replay", headers=operator)
    assert (response.status_code, "indexing is retried every minute" in response.json()["detail"]) == (409, True)
    assert (await client.post("/quarantine/replay", json={}, headers=operator)).json() == {"queued": 0}
    RejectedBooks(stores.engine).update([], now=NOW, is_resolved=lambda _: True)
    assert (await client.get(f"/quarantine/{item['id']}")).json()["state"] == "replayed"
