"""Parts of the suite are killed in mid-crawl: nothing is lost, nothing is double, the accounting adds up.

Each round crawls a shop that the suite has not seen, kills one part with SIGKILL, and waits until the supervisor has
brought it back and the run has settled.
"""

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from bookwheel_local.processes import suite_processes
from bookwheel_testing.servers import wait_until
from bookwheel_testing.suite import Suite, another_shop, as_read, free_port_base, shop_facts

BOOKS = 150
ROUNDS = int(os.environ.get("BOOKWHEEL_KILL_ROUNDS", "30"))
VICTIMS = ("redis", "worker", "index writer", "scraper", "crawl")


@pytest.fixture(scope="module")
def killed_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    suite = Suite(
        state=tmp_path_factory.mktemp("killed") / "state",
        port_base=free_port_base(),
        books=BOOKS,
        settings={
            "BOOKWHEEL_RATE_ADDRESS": "10000",
            "BOOKWHEEL_RATE_SUBJECT": "10000",
            "BOOKWHEEL_CLAIM_AFTER": "2",
        },
    )
    try:
        suite.up()
        yield suite
    finally:
        suite.down()


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def processes(suite: Suite, victim: str) -> list[int]:
    if victim == "redis":  # shows its address in place of its command line, and no environment
        title = f"redis-server 127.0.0.1:{suite.port_base + 4}"
        return [int(one.name) for one in Path("/proc").glob("[0-9]*") if title in command_line(int(one.name))]
    if victim == "index writer":
        lock = suite.state / "run" / "processor-project.lock"
        held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return [int(line[4]) for line in held if line[1] == "FLOCK" and line[5].endswith(f":{lock.stat().st_ino}")]
    command = {"worker": "bookwheel-processor worker", "scraper": "bookwheel-scraper serve", "crawl": "run_crawl"}
    return [pid for pid in suite_processes(suite.state) if command[victim] in command_line(pid)]


def kill(suite: Suite, victim: str, chance: random.Random) -> None:
    """SIGKILL to one process of the part, as soon as there is one: of a worker its parent or one of its children."""
    found: list[int] = []

    def killed() -> bool:
        found[:] = processes(suite, victim)
        try:
            os.kill(chance.choice(found), signal.SIGKILL)
        except (IndexError, ProcessLookupError):
            return False
        return True

    wait_until(killed, seconds=10, what=f"a kill of {victim}")


def rows(suite: Suite, query: str, *parameters: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(suite.state / "data" / "bookwheel.sqlite", timeout=30)) as database:
        return database.execute(query, parameters).fetchall()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_kill_at_a_random_moment_loses_and_doubles_nothing(number: int, killed_suite: Suite, tmp_path: Path) -> None:
    suite = killed_suite
    chance = random.Random(f"round {number}")
    victim = VICTIMS[number % len(VICTIMS)]
    with another_shop(tmp_path, books=BOOKS, seed=5000 + number) as url:
        facts = {fact["upc"]: fact for fact in shop_facts(url)}
        run_id = suite.start_crawl("demo", url)
        wait_until(lambda: bool(processes(suite, "crawl")), seconds=20, what="the crawl's start")
        time.sleep(chance.uniform(0.0, 1.2))
        kill(suite, victim, chance)
        run = suite.finished_crawl(run_id, seconds=60)

    counts = run["counts"]
    assert counts["quarantined"] == 0
    verdicts = ("added", "modified", "unchanged", "duplicate", "quarantined")
    assert counts["scraped"] == sum(counts[verdict] for verdict in verdicts)
    assert run["state"] == "complete"
    stored = rows(
        suite,
        "SELECT offer.source_key, book.title FROM offer JOIN book ON book.number = offer.book_number"
        " WHERE offer.last_run = ?",
        run_id,
    )
    assert Counter(stored) == Counter((fact["upc"], as_read(fact["title"])) for fact in facts.values())
    changes = rows(
        suite, "SELECT book_id, kind FROM change JOIN book ON book.number = book_number WHERE run_id = ?", run_id
    )
    assert Counter(changes) == Counter((f"demo:{upc}", "added") for upc in facts)
    observed = rows(
        suite,
        "SELECT source_key FROM observation JOIN offer ON offer.number = offer_number WHERE offer.last_run = ?",
        run_id,
    )
    assert Counter(key for (key,) in observed) == Counter(facts.keys())
    (living,) = rows(suite, "SELECT count(*) FROM book WHERE removed_at IS NULL")[0]
    assert suite.get("/api/v1/books", params={"limit": "1"})["total"]["value"] == living
