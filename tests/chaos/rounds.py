"""One round: a crawl, a fault in its midst, and the question whether anything was lost, doubled or differs."""

import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from bookwheel_contracts import RunState
from bookwheel_testing.process_kill import CRAWL, processes
from bookwheel_testing.servers import wait_until

from tests.chaos.arena import Arena
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
from tests.chaos.shop import Shop

_PAGE_SECONDS = (0.0, 0.03, 0.1)
_SETTLE_SECONDS = 120.0
_STRAGGLE_SECONDS = 10.0
_REVISITS, _OPEN_SHOPS = 0.75, 2  # few at a time: a book is removed, or back, only after some crawls of its shop
_FAILURES = (TimeoutError, AssertionError, httpx.HTTPError)


@dataclass(slots=True)
class Outcome:
    """`seconds` from the request of the crawl until it was settled. `removed`, `restored`: so many of the shop's books
    were to be."""

    number: int
    fault: str
    books: int
    seconds: float = 0.0
    removed: int = 0
    restored: int = 0
    findings: Findings = field(default_factory=Findings)


def deck(faults: list[Fault], number: int, seed: int) -> Fault:
    """Each fault once before any comes again, in another order each time."""
    turn, place = divmod(number, len(faults))
    cards = list(faults)
    random.Random(f"deck {seed}/{turn}").shuffle(cards)
    return cards[place]


def play(arena: Arena, fault: Fault, number: int, seed: int) -> Outcome:
    chance = random.Random(f"round {seed}/{number}")
    shop, restored = _open_shop(arena, fault, number, seed, chance)
    arena.site.delay = _PAGE_SECONDS[-1] if fault.slow_shop else chance.choice(_PAGE_SECONDS)
    outcome = Outcome(number, fault.name, len(shop.listed), restored=restored)
    closes = fault.own_shop
    begun = time.monotonic()
    try:
        runs = [_ask(arena, shop)]
        wait_until(lambda: bool(processes(arena.suite, CRAWL)), seconds=90, what="the crawl's start")
        time.sleep(chance.uniform(0.0, fault.latest))
        fault.strike(arena, chance)
        if fault.loses_redis:
            wait_until(lambda: not processes(arena.suite, CRAWL), seconds=60, what="the crawl's end")
            runs.append(_ask(arena, shop))
        run = arena.suite.finished_crawl(runs[-1], seconds=_SETTLE_SECONDS)
        outcome.seconds = time.monotonic() - begun
        ended = [run, *_ended_soon(arena, runs[:-1])]
        closes |= len(ended) < len(runs)
        outcome.removed = shop.crawled(sum(one["state"] == RunState.COMPLETE for one in ended))
        check_run(outcome.findings, run)
        check_changes(outcome.findings, arena.suite, shop)
        check_records(outcome.findings, arena.suite, shop)
        check_index(outcome.findings, arena.suite, shop)
        arena.wait_until_whole()
        arena.bring_lake_up_to_date()
        check_bronze(outcome.findings, arena.lake, shop, run)
        check_silver(outcome.findings, arena.suite, arena.lake, shop)
    except _FAILURES as error:
        outcome.seconds = outcome.seconds or time.monotonic() - begun
        outcome.findings.note(error)
    arena.keep_logs |= not outcome.findings.clean
    if closes or not outcome.findings.clean:
        del arena.shops[shop.source]
    return outcome


def play_out(arena: Arena, findings: Findings) -> None:
    """After the last round: all that the rounds have left."""
    try:
        arena.bring_lake_up_to_date()
        check_totals(findings, arena.suite, arena.lake)
    except _FAILURES as error:
        findings.note(error)
    arena.keep_logs |= not findings.clean


def _open_shop(arena: Arena, fault: Fault, number: int, seed: int, chance: random.Random) -> tuple[Shop, int]:
    """A new shop, or one that was crawled before and has had another day since; and how many removed books are back."""
    if arena.shops and not fault.own_shop and chance.random() < _REVISITS:
        shop = arena.shops[chance.choice(sorted(arena.shops)[-_OPEN_SHOPS:])]
        restored = shop.next_day(chance.randint(5, 40))
    else:
        shop = arena.shop(number, seed)
        restored = shop.next_day(chance.randint(60, 150))
    shop.serve(arena.site)
    return shop, restored


def _ended_soon(arena: Arena, run_ids: list[str]) -> list[dict[str, Any]]:
    """Runs that Redis has forgotten: the scraper may go on with one beside its repetition, and another never ends."""
    ended = []
    for run_id in run_ids:
        with suppress(TimeoutError):
            ended.append(arena.suite.finished_crawl(run_id, seconds=_STRAGGLE_SECONDS))
    return ended


def _ask(arena: Arena, shop: Shop) -> str:
    """The id of the requested crawl; a Redis that has forgotten the sources is told them again within half a minute."""
    asked: list[str] = []

    def accepted() -> bool:
        try:
            asked.append(arena.suite.start_crawl(shop.source))
        except (AssertionError, httpx.HTTPError):
            return False
        return True

    wait_until(accepted, seconds=60, what="the crawl accepted")
    return asked[0]
