"""The parts of the chaos rounds: shops, checks, faults, disk, clock and proxy."""

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


def test_a_shop_is_determined_by_its_seed_and_lists_its_changes() -> None:
    first, second = shop(), shop()
    for opened_shop in (first, second):
        opened_shop.next_day(60)
    assert (first.changes, first.listed) == (second.changes, second.listed)
    before = dict(first.listed)
    first.next_day(5)
    assert [kind for _, kind in first.changes[60:]] == [ChangeKind.MODIFIED] * 6 + [ChangeKind.ADDED] * 5
    changed = {key for key in before.keys() & first.listed.keys() if before[key] != first.listed[key]}
    assert changed == {key for key, kind in first.changes if kind is ChangeKind.MODIFIED}
    assert before.keys() - first.listed.keys() == first.vanished.keys() != set()


def test_a_book_missing_in_two_complete_crawls_is_removed_and_can_be_restored() -> None:
    opened_shop = shop()
    opened_shop.next_day(60)
    opened_shop.next_day(5)
    vanished = set(opened_shop.vanished)
    assert [opened_shop.record_crawls(complete) for complete in (1, 0)] == [0, 0]
    assert vanished <= opened_shop.expected_books.keys(), "within the grace period"
    assert opened_shop.record_crawls(1) == len(vanished)
    assert opened_shop.expected_books == opened_shop.listed
    assert opened_shop.record_crawls(1) == 0, "not removed twice"
    restored = opened_shop.next_day(5)
    returned = vanished & opened_shop.listed.keys()
    assert restored == len(returned) > 0
    changes = [(key, kind) for key, kind in opened_shop.changes if key in vanished and kind is not ChangeKind.ADDED]
    expected = [(key, ChangeKind.REMOVED) for key in vanished] + [(key, ChangeKind.RESTORED) for key in returned]
    assert sorted(changes) == sorted(expected)
    opened_shop.record_crawls(2)
    assert returned <= opened_shop.expected_books.keys(), "a new grace period begins"


def test_no_day_of_a_shop_changes_enough_to_hold_its_crawl() -> None:
    opened_shop = shop()
    opened_shop.next_day(60)
    for _ in range(20):
        known, before = len(opened_shop.expected_books), len(opened_shop.changes)
        opened_shop.next_day(5)
        opened_shop.record_crawls(1)
        kinds = Counter(kind for _, kind in opened_shop.changes[before:])
        assert kinds[ChangeKind.MODIFIED] + kinds[ChangeKind.REMOVED] <= HoldPolicy().limit(known, Expectations())


def test_a_shops_pages_are_all_linked_and_replaced_on_the_next_day() -> None:
    site, opened_shop = Site(url="http://127.0.0.1:1/"), shop()
    opened_shop.next_day(45)
    opened_shop.serve(site)
    assert len(site.pages) == 45 + 3
    opened_shop.next_day(1)
    opened_shop.serve(site)
    assert len(site.pages) == 43 + 3, "three books have vanished"
    assert 'start_urls = ["http://127.0.0.1:1/c0001/"]' in declaration("c0001", site)


def test_missing_items_are_lost_and_repeated_items_are_doubled() -> None:
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
def test_the_counts_of_a_run_must_add_up(state: str, counts: dict[str, int], wrong: int) -> None:
    no_counts = dict.fromkeys(("added", "modified", "unchanged", "duplicate", "quarantined"), 0)
    run: dict[str, Any] = {"state": state, "reason": None, "counts": no_counts | counts}
    findings = Findings()
    check_run(findings, run)
    assert (findings.accounting, findings.clean) == (wrong, wrong == 0)


def test_every_fault_is_selected_once_before_one_is_repeated() -> None:
    faults = [Fault(name, lambda *_: None) for name in "abcde"]
    names = [select_fault(faults, number, seed=7).name for number in range(15)]
    assert [sorted(names[start : start + 5]) for start in (0, 5, 10)] == [list("abcde")] * 3
    assert names == [select_fault(faults, number, seed=7).name for number in range(15)]
    assert names != [select_fault(faults, number, seed=8).name for number in range(15)]


def test_the_table_has_the_sums_of_the_outcomes() -> None:
    outcomes = [Outcome(0, "kill redis", 60, 2.0, 3), Outcome(1, "kill redis", 90, 4.0, restored=2)]
    outcomes[1].findings.compare("records", [], ["a"])
    row = next(line for line in table(outcomes).splitlines() if line.startswith("| kill redis"))
    assert [cell.strip() for cell in row.strip("|").split("|")][1:6] == ["2", "150", "3", "2", "1"]


def test_a_filled_disk_rejects_writes(tmp_path: Path) -> None:
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


def test_a_running_process_has_the_new_time_and_its_sleep_is_unchanged(tmp_path: Path) -> None:
    clock = FakeClock(tmp_path)
    if not clock.is_available:
        pytest.skip("no C compiler is installed")
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
def test_the_proxy_breaks_connections_until_its_mode_is_reset(site: Site, mode: Mode) -> None:
    with s3_proxy(site.url.rstrip("/")) as proxy:
        assert len(httpx.get(proxy.url).content) == 100_000
        proxy.set(mode)
        with pytest.raises(httpx.TransportError):
            httpx.get(proxy.url)
        proxy.set(Mode.PASS)
        assert httpx.get(proxy.url).status_code == 200
    if mode is not Mode.CUT:  # the server may reject half a request
        assert site.hits["/"] == (3 if mode is Mode.MUTE else 2)


def test_the_proxy_returns_503_for_a_busy_server(site: Site) -> None:
    with s3_proxy(site.url.rstrip("/")) as proxy:
        proxy.set(Mode.BUSY)
        response = httpx.get(proxy.url)
    assert (response.status_code, "SlowDown" in response.text) == (503, True)
    assert site.hits["/"] == 0


def test_written_rounds_are_continued_only_with_the_same_engines_and_seed(tmp_path: Path) -> None:
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
