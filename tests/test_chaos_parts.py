"""The parts of the chaos rounds do what they are there for: a round that could not fail would show nothing."""

import errno
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_contracts import ChangeKind, Expectations
from bookwheel_processor.ingest.approval import HoldPolicy
from bookwheel_testing.shop_site import Site, serving_site

from tests.chaos.chaos_shop import Shop, declaration
from tests.chaos.checks import Findings, check_run
from tests.chaos.fake_clock import FakeClock
from tests.chaos.faults import Fault
from tests.chaos.fillable_disk import FillableDisk
from tests.chaos.report import read_json, table, write_json
from tests.chaos.rounds import Outcome, select_fault
from tests.chaos.s3_proxy import Mode, s3_proxy


def shop(seed: int = 1) -> Shop:
    return Shop("c0001", random.Random(seed))


def test_a_shop_follows_from_its_seed_and_says_what_changed() -> None:
    one, same = shop(), shop()
    for each in (one, same):
        each.next_day(60)
    assert (one.changes, one.listed) == (same.changes, same.listed)
    before = dict(one.listed)
    one.next_day(5)
    assert [kind for _, kind in one.changes[60:]] == [ChangeKind.MODIFIED] * 6 + [ChangeKind.ADDED] * 5
    changed = {key for key in before.keys() & one.listed.keys() if before[key] != one.listed[key]}
    assert changed == {key for key, kind in one.changes if kind is ChangeKind.MODIFIED}
    assert before.keys() - one.listed.keys() == one.vanished.keys() != set()


def test_what_two_complete_crawls_of_a_shop_miss_is_removed_and_may_come_back() -> None:
    one = shop()
    one.next_day(60)
    one.next_day(5)
    away = set(one.vanished)
    assert [one.record_crawls(complete) for complete in (1, 0)] == [0, 0]
    assert away <= one.expected_books.keys(), "within its grace"
    assert one.record_crawls(1) == len(away)
    assert one.expected_books == one.listed
    assert one.record_crawls(1) == 0, "not removed twice"
    restored = one.next_day(5)
    back = away & one.listed.keys()
    assert restored == len(back) > 0
    told = [(key, kind) for key, kind in one.changes if key in away and kind is not ChangeKind.ADDED]
    expected = [(key, ChangeKind.REMOVED) for key in away] + [(key, ChangeKind.RESTORED) for key in back]
    assert sorted(told) == sorted(expected)
    one.record_crawls(2)
    assert back <= one.expected_books.keys(), "with a grace of its own again"


def test_no_day_of_a_shop_changes_so_much_that_its_crawl_is_held() -> None:
    one = shop()
    one.next_day(60)
    for _ in range(20):
        known, before = len(one.expected_books), len(one.changes)
        one.next_day(5)
        one.record_crawls(1)
        kinds = Counter(kind for _, kind in one.changes[before:])
        assert kinds[ChangeKind.MODIFIED] + kinds[ChangeKind.REMOVED] <= HoldPolicy().limit(known, Expectations())


def test_a_shops_pages_are_all_linked_and_replaced_on_the_next_day() -> None:
    site, one = Site(url="http://127.0.0.1:1/"), shop()
    one.next_day(45)
    one.serve(site)
    assert len(site.pages) == 45 + 3
    one.next_day(1)
    one.serve(site)
    assert len(site.pages) == 43 + 3, "three went"
    assert 'start_urls = ["http://127.0.0.1:1/c0001/"]' in declaration("c0001", site)


def test_what_is_missing_is_lost_and_what_is_there_too_often_is_doubled() -> None:
    findings = Findings()
    findings.compare("records", ["a", "a", "c"], ["a", "b", "c"])
    assert (findings.lost, findings.doubled, findings.clean) == (1, 1, False)
    assert "1 lost, 1 doubled" in findings.notes[0]


@pytest.mark.parametrize(
    ("state", "counts", "wrong"),
    [
        ("complete", {"scraped": 3, "added": 2, "duplicate": 1}, 0),
        ("complete", {"scraped": 3, "added": 2}, 1),
        ("partial", {"scraped": 2, "added": 2}, 1),
        ("complete", {"scraped": 2, "added": 1, "quarantined": 1}, 1),
    ],
)
def test_a_runs_accounting_must_add_up_in_a_complete_run(state: str, counts: dict[str, int], wrong: int) -> None:
    nothing = dict.fromkeys(("added", "modified", "unchanged", "duplicate", "quarantined"), 0)
    run: dict[str, Any] = {"state": state, "reason": None, "counts": nothing | counts}
    findings = Findings()
    check_run(findings, run)
    assert (findings.accounting, findings.clean) == (wrong, wrong == 0)


def test_every_fault_comes_once_before_any_comes_again() -> None:
    faults = [Fault(name, lambda *_: None) for name in "abcde"]
    played = [select_fault(faults, number, seed=7).name for number in range(15)]
    assert [sorted(played[at : at + 5]) for at in (0, 5, 10)] == [list("abcde")] * 3
    assert played == [select_fault(faults, number, seed=7).name for number in range(15)]
    assert played != [select_fault(faults, number, seed=8).name for number in range(15)]


def test_the_table_sums_what_was_found() -> None:
    outcomes = [Outcome(0, "kill redis", 60, 2.0, 3), Outcome(1, "kill redis", 90, 4.0, restored=2)]
    outcomes[1].findings.compare("records", [], ["a"])
    row = next(line for line in table(outcomes).splitlines() if line.startswith("| kill redis"))
    assert [cell.strip() for cell in row.strip("|").split("|")][1:6] == ["2", "150", "3", "2", "1"]


def test_a_filled_disk_takes_no_byte_more(tmp_path: Path) -> None:
    disk = FillableDisk(tmp_path / "data", megabytes=8)
    if not disk.is_available:
        pytest.skip("this user may not mount a tmpfs")
    try:
        (tmp_path / "data" / "held").write_bytes(b"x" * 100_000)
        disk.fill()
        with pytest.raises(OSError, match="No space left") as raised:
            (tmp_path / "data" / "more").write_bytes(b"x")
        assert raised.value.errno == errno.ENOSPC
        disk.empty()
        (tmp_path / "data" / "more").write_bytes(b"x")
    finally:
        disk.unmount()


def test_a_running_process_sees_the_clock_jump_and_sleeps_as_before(tmp_path: Path) -> None:
    clock = FakeClock(tmp_path)
    if not clock.is_available:
        pytest.skip("no C compiler here")
    code = "import time; print(time.time(), flush=True); input(); t = time.monotonic(); time.sleep(0.2)"
    code += "; print(time.time(), time.monotonic() - t, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert abs(float(process.stdout.readline()) - time.time()) < 60
        clock.set(-3600)
        process.stdin.write("\n")
        process.stdin.flush()
        moment, slept = map(float, process.stdout.readline().split())
    assert abs(moment - (time.time() - 3600)) < 60
    assert 0.2 <= slept < 10


@pytest.fixture
def site() -> Iterator[Site]:
    with serving_site() as site:
        site.pages["/"] = b"x" * 100_000
        yield site


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.CUT, Mode.MUTE])
def test_the_proxy_breaks_connections_as_told_and_heals(site: Site, mode: Mode) -> None:
    with s3_proxy(site.url.rstrip("/")) as proxy:
        assert len(httpx.get(proxy.url).content) == 100_000
        proxy.set(mode)
        with pytest.raises(httpx.TransportError):
            httpx.get(proxy.url)
        proxy.set(Mode.PASS)
        assert httpx.get(proxy.url).status_code == 200
    if mode is not Mode.CUT:  # what a server makes of half a request is its own affair
        assert site.hits["/"] == (3 if mode is Mode.MUTE else 2)


def test_the_proxy_answers_for_a_busy_server(site: Site) -> None:
    with s3_proxy(site.url.rstrip("/")) as proxy:
        proxy.set(Mode.BUSY)
        answer = httpx.get(proxy.url)
    assert (answer.status_code, "SlowDown" in answer.text) == (503, True)
    assert site.hits["/"] == 0


def test_rounds_that_were_written_are_gone_on_with_unless_they_are_others(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.json"
    assert read_json(path, engines="embedded", seed=7) == []
    outcomes = [
        Outcome(0, "kill worker", 60, 1.5),
        Outcome(1, "full disk", 9, 2.0, 1, 2, Findings(lost=1, notes=["one"])),
    ]
    write_json(path, outcomes, engines="embedded", seed=7)
    assert read_json(path, engines="embedded", seed=7) == outcomes
    with pytest.raises(ValueError, match="on the embedded engines with SEED=7"):
        read_json(path, engines="embedded", seed=8)
