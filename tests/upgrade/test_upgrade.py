"""An upgrade from an earlier commit keeps all data, on both sets of engines: `make test-upgrade FROM=commit`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_local.engines import JVM_QUICK_START
from bookwheel_local.settings import EngineSet
from bookwheel_testing.engines import require_cluster_engines
from bookwheel_testing.servers import wait_until
from bookwheel_testing.suite_under_test import SuiteUnderTest, free_port_base
from bookwheel_testing.webhook_receiver import running_webhook_receiver

from tests.upgrade.earlier_version import (
    HELD_RUN_DAY,
    PASSWORD,
    FilledSuite,
    fill,
    install_commit,
    set_shop,
)
from tests.upgrade.snapshot import LakeContents, find_differences, read_lake, row_counts, take_snapshot

pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.skipif("BOOKWHEEL_UPGRADE_FROM" not in os.environ, reason="upgrades run by `make test-upgrade`"),
]
SETTINGS = {
    "BOOKWHEEL_RATE_ADDRESS": "100000",
    "BOOKWHEEL_RATE_SUBJECT": "100000",
    "BOOKWHEEL_ELASTICSEARCH_OPTIONS": JVM_QUICK_START,
    "BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES": "allow",
    "BOOKWHEEL_WEBHOOK_PRIVATE_ADDRESSES": "allow",
}


@dataclass(frozen=True)
class Prepared:
    """A stopped suite of the earlier version, the data read from it, and the folder of its backup."""

    suite: SuiteUnderTest
    data: FilledSuite
    snapshot: dict[str, Any]
    rows: dict[str, int]
    lake: LakeContents
    as_of: str
    backup: Path


@dataclass(frozen=True)
class Upgraded:
    """`suite` runs this version on the data of `earlier`."""

    suite: SuiteUnderTest
    earlier: Prepared


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the installed earlier version. BOOKWHEEL_UPGRADE_FROM is a commit or the folder of a checkout."""
    version = os.environ["BOOKWHEEL_UPGRADE_FROM"]
    if Path(version).is_dir():
        return Path(version).resolve()
    folder = tmp_path_factory.mktemp("earlier") / "checkout"
    install_commit(version, folder)
    return folder


def prepare(suite: SuiteUnderTest, backup: Path) -> Prepared:
    with running_webhook_receiver() as receiver:
        try:
            suite.up()
            data = fill(suite, f"{receiver.url}/all")
            as_of = datetime.now(UTC).isoformat()
            snapshot, rows, lake = take_snapshot(suite, as_of=as_of), row_counts(suite), read_lake(suite)
            suite.run_local_command("backup", "--to", str(backup))
        finally:
            suite.down()
    return Prepared(suite, data, snapshot, rows, lake, as_of, backup)


@pytest.fixture(scope="module", params=list(EngineSet))
def upgraded(
    request: pytest.FixtureRequest, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upgraded]:
    engines = EngineSet(request.param)
    if engines is EngineSet.CLUSTER:
        require_cluster_engines()
    folder = tmp_path_factory.mktemp(f"upgrade-{engines}")
    options: dict[str, Any] = {
        "state": folder / "state",
        "port_base": free_port_base(),
        "books": 300,
        "settings": SETTINGS,
        "engines": engines,
        "lake": "s3" if engines is EngineSet.CLUSTER else "folder",
    }
    earlier = prepare(SuiteUnderTest(**options, checkout=checkout), folder / "backup")
    suite = SuiteUnderTest(**options)
    try:
        suite.up()
        yield Upgraded(suite, earlier)
    finally:
        suite.down()


def check_nothing_is_lost(before: dict[str, Any], after: dict[str, Any]) -> None:
    differences = list(islice(find_differences(before, after), 20))
    assert not differences, "\n".join(differences)


def wait_for_index(suite: SuiteUnderTest, books: int) -> None:
    """Waits until the index has all books, because a new index is built in the background."""

    def is_filled() -> bool:
        total = suite.get("/api/v1/books", params={"filter": "source:demo", "limit": "1"})["total"]["value"]
        return bool(total == books)

    wait_until(is_filled, seconds=180, what="the search index filled")


def test_the_api_returns_the_same_data(upgraded: Upgraded) -> None:
    wait_for_index(upgraded.suite, len(upgraded.earlier.snapshot["books"]))
    check_nothing_is_lost(upgraded.earlier.snapshot, take_snapshot(upgraded.suite, as_of=upgraded.earlier.as_of))


def test_no_table_has_lost_a_row(upgraded: Upgraded) -> None:
    after = row_counts(upgraded.suite)
    renamed = sorted(after[table] for table in after.keys() - upgraded.earlier.rows.keys())
    for table, rows in upgraded.earlier.rows.items():
        if table in after:
            assert after[table] >= rows, table
        else:
            assert any(count >= rows for count in renamed), f"{table} had {rows} rows"


def test_the_lake_is_converted_without_loss(upgraded: Upgraded) -> None:
    upgraded.suite.run_local_command("run", "bookwheel-processor", "convert-lake")
    before, after = upgraded.earlier.lake, read_lake(upgraded.suite)
    assert len(before.entries) > 1000
    assert {entry: after.entries.get(entry) for entry in before.entries} == before.entries
    assert before.observations
    assert before.observations <= after.observations


def test_items_left_in_the_stream_are_ingested(upgraded: Upgraded) -> None:
    run = upgraded.suite.wait_for_crawl(upgraded.earlier.data.queued_run)
    assert (run["state"], run["counts"]["quarantined"]) == ("complete", 0)
    assert run["counts"]["scraped"] == run["counts"]["added"] > 0


def test_accounts_keys_and_logins_stay_valid(upgraded: Upgraded) -> None:
    auth, account = f"{upgraded.suite.url}/api/v1/auth", upgraded.earlier.data.account
    login = httpx.post(f"{auth}/login", json={"email": account.email, "password": PASSWORD}, timeout=30)
    assert login.status_code == 200, login.text
    by_key = httpx.get(
        f"{upgraded.suite.url}/api/v1/books", headers={"Authorization": f"Bearer {account.key}"}, timeout=30
    )
    assert by_key.status_code == 200, by_key.text
    refreshed = httpx.post(f"{auth}/refresh", json={"refresh_token": account.refresh_token}, timeout=30)
    assert refreshed.status_code == 200, refreshed.text


def test_the_champion_predicts_the_same_ratings(upgraded: Upgraded) -> None:
    books = [{"book_id": book_id} for book_id in upgraded.earlier.data.predictions]
    predictions = upgraded.suite.post("/api/v1/ml/predictions", {"books": books})["predictions"]
    assert {
        prediction["book_id"]: prediction["rating"] for prediction in predictions
    } == upgraded.earlier.data.predictions


def test_a_held_run_is_released_and_the_next_crawl_changes_nothing(upgraded: Upgraded) -> None:
    suite, held = upgraded.suite, upgraded.earlier.data.held_run
    suite.post(f"/api/v1/crawls/{held}/release", {}, 202)
    wait_until(lambda: suite.get(f"/api/v1/crawls/{held}")["state"] == "complete", seconds=120, what="the run released")
    counts = suite.get(f"/api/v1/crawls/{held}")["counts"]
    assert counts["added"] > 0 < counts["modified"]
    set_shop(suite, "day", {"day": HELD_RUN_DAY})
    run = suite.crawl()
    assert run["state"] == "complete"
    assert run["counts"]["unchanged"] == run["counts"]["scraped"] > 0, run["counts"]


def test_a_quarantined_item_is_replayed(upgraded: Upgraded) -> None:
    suite = upgraded.suite
    [entry] = suite.get("/api/v1/quarantine", params={"code": "run_discarded", "limit": "1"})["items"]
    path = f"/api/v1/quarantine/{entry['id']}"
    suite.post(f"{path}/replay", {}, 202)
    wait_until(lambda: suite.get(path)["state"] == "replayed", seconds=60, what="the entry replayed")
    assert suite.get(path)["verdict"] == "duplicate", "a newer item of the book was ingested"


def test_a_backup_of_the_earlier_version_is_restored(upgraded: Upgraded, tmp_path: Path) -> None:
    suite = upgraded.suite
    restored = SuiteUnderTest(
        tmp_path / "restored", free_port_base(), suite.books, suite.settings, engines=suite.engines, lake=suite.lake
    )
    restored.run_local_command("restore", "--from", str(upgraded.earlier.backup))
    try:
        restored.up()
        wait_for_index(restored, len(upgraded.earlier.snapshot["books"]))
        expected = upgraded.earlier.snapshot | {"runs": {}, "quality": {}, "deliveries": {}}
        check_nothing_is_lost(expected, take_snapshot(restored, as_of=upgraded.earlier.as_of))
    finally:
        restored.down()
