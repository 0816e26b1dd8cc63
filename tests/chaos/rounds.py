"""Runs a round: a crawl, a fault during the crawl, and checks."""

import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from bookwheel_contracts import RunState
from bookwheel_testing.process_kill import CRAWL, processes
from bookwheel_testing.servers import wait_until

from tests.chaos.chaos_shop import Shop
from tests.chaos.chaos_suite import ChaosSuite
from tests.chaos.checks import (
    Findings,
    check_bronze,
    check_changes,
    check_index,
    check_records,
    check_run,
    check_silver,
    check_totals,
)
from tests.chaos.faults import Fault

_PAGE_SECONDS = (0.0, 0.03, 0.1)
_CRAWL_SECONDS = 120.0
_LOST_RUN_SECONDS = 10.0
_REVISIT_SHARE, _OPEN_SHOPS = 0.75, 2  # few shops, because removing a book takes several crawls of its shop
_FAILURES = (TimeoutError, AssertionError, httpx.HTTPError)


@dataclass(slots=True)
class Outcome:
    """`seconds`: from the request to the end of the run. `removed`, `restored`: the expected numbers of books."""

    number: int
    fault: str
    books: int
    seconds: float = 0.0
    removed: int = 0
    restored: int = 0
    findings: Findings = field(default_factory=Findings)


def select_fault(faults: list[Fault], number: int, seed: int) -> Fault:
    """Selects every fault once before it repeats one, in a new random order each time."""
    cycle, position = divmod(number, len(faults))
    order = list(faults)
    random.Random(f"deck {seed}/{cycle}").shuffle(order)
    return order[position]


def run_round(chaos: ChaosSuite, fault: Fault, number: int, seed: int) -> Outcome:
    rng = random.Random(f"round {seed}/{number}")
    shop, restored = _open_shop(chaos, fault, number, seed, rng)
    chaos.site.delay = _PAGE_SECONDS[-1] if fault.slow_shop else rng.choice(_PAGE_SECONDS)
    outcome = Outcome(number, fault.name, len(shop.listed), restored=restored)
    closes_shop = fault.single_use_shop
    started = time.monotonic()
    try:
        runs = [_request_crawl(chaos, shop)]
        wait_until(lambda: bool(processes(chaos.suite, CRAWL)), seconds=90, what="the crawl's start")
        time.sleep(rng.uniform(0.0, fault.max_delay))
        fault.inject(chaos, rng)
        if fault.loses_redis:
            wait_until(lambda: not processes(chaos.suite, CRAWL), seconds=60, what="the crawl's end")
            runs.append(_request_crawl(chaos, shop))
        run = chaos.suite.wait_for_crawl(runs[-1], seconds=_CRAWL_SECONDS)
        outcome.seconds = time.monotonic() - started
        ended_runs = [run, *_list_ended_runs(chaos, runs[:-1])]
        closes_shop |= len(ended_runs) < len(runs)
        outcome.removed = shop.record_crawls(sum(run["state"] == RunState.COMPLETE for run in ended_runs))
        check_run(outcome.findings, run)
        check_changes(outcome.findings, chaos.suite, shop)
        check_records(outcome.findings, chaos.suite, shop)
        check_index(outcome.findings, chaos.suite, shop)
        chaos.wait_until_running()
        chaos.bring_lake_up_to_date()
        check_bronze(outcome.findings, chaos.lake, shop, run)
        check_silver(outcome.findings, chaos.suite, chaos.lake, shop)
    except _FAILURES as error:
        outcome.seconds = outcome.seconds or time.monotonic() - started
        outcome.findings.note(error)
    chaos.keep_logs |= not outcome.findings.clean
    if closes_shop or not outcome.findings.clean:
        del chaos.shops[shop.source]
    return outcome


def check_final_state(chaos: ChaosSuite, findings: Findings) -> None:
    """Checks all data after the last round."""
    try:
        chaos.bring_lake_up_to_date()
        check_totals(findings, chaos.suite, chaos.lake)
    except _FAILURES as error:
        findings.note(error)
    chaos.keep_logs |= not findings.clean


def _open_shop(chaos: ChaosSuite, fault: Fault, number: int, seed: int, rng: random.Random) -> tuple[Shop, int]:
    """Opens a new shop, or an open shop on its next day. Returns it and the number of returning removed books."""
    if chaos.shops and not fault.single_use_shop and rng.random() < _REVISIT_SHARE:
        shop = chaos.shops[rng.choice(sorted(chaos.shops)[-_OPEN_SHOPS:])]
        restored = shop.next_day(rng.randint(5, 40))
    else:
        shop = chaos.shop(number, seed)
        restored = shop.next_day(rng.randint(60, 150))
    shop.serve(chaos.site)
    return shop, restored


def _list_ended_runs(chaos: ChaosSuite, run_ids: list[str]) -> list[dict[str, Any]]:
    """Returns the lost runs that still end. The scraper may continue a lost run during its repetition."""
    runs = []
    for run_id in run_ids:
        with suppress(TimeoutError):
            runs.append(chaos.suite.wait_for_crawl(run_id, seconds=_LOST_RUN_SECONDS))
    return runs


def _request_crawl(chaos: ChaosSuite, shop: Shop) -> str:
    """Requests a crawl and returns its id. Retries, because the scraper first republishes lost sources."""
    run_ids: list[str] = []

    def request_accepted() -> bool:
        try:
            run_ids.append(chaos.suite.start_crawl(shop.source))
        except (AssertionError, httpx.HTTPError):
            return False
        return True

    wait_until(request_accepted, seconds=60, what="the crawl request")
    return run_ids[0]
