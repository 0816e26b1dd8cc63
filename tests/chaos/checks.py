"""What must hold after each round, whatever has happened in it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
from bookwheel_stores.lake import Lake
from bookwheel_testing.suite import Suite

from tests.chaos.shop import Day, Shop

_VERDICTS = ("added", "modified", "unchanged", "duplicate", "quarantined")
_PRICE_SCALE = 10_000


@dataclass(slots=True)
class Findings:
    """Counts of what is wrong, 0 where all is well; `notes` say what, for people."""

    lost: int = 0
    doubled: int = 0
    accounting: int = 0
    index: int = 0
    lake: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.accounting or self.index or self.lake or self.notes)

    def compare(self, what: str, found: Iterable[object], expected: Iterable[object]) -> None:
        """Counts what is missing as lost, and what is there too often, or should not be there, as doubled."""
        have, want = Counter(found), Counter(expected)
        lost, doubled = (want - have).total(), (have - want).total()
        self.lost += lost
        self.doubled += doubled
        if lost or doubled:
            examples = [*list(want - have)[:2], *list(have - want)[:2]]
            self.notes.append(f"{what}: {lost} lost, {doubled} doubled, such as {examples}")

    def compare_lake(self, what: str, found: Iterable[object], expected: Iterable[object]) -> None:
        have, want = Counter(found), Counter(expected)
        differing = (want - have).total() + (have - want).total()
        self.lake += differing
        if differing:
            self.notes.append(f"{what}: {differing} differ, such as {[*(want - have), *(have - want)][:3]}")

    def expect(self, kind: str, holds: bool, note: str) -> None:
        if not holds:
            setattr(self, kind, getattr(self, kind) + 1)
            self.notes.append(note)


def check_run(findings: Findings, run: dict[str, Any], *, state: str = "complete") -> None:
    """The accounting of a run that has ended."""
    counts = run["counts"]
    accounted = sum(counts[verdict] for verdict in _VERDICTS)
    findings.expect("accounting", counts["scraped"] == accounted, f"scraped is not the sum of the verdicts: {counts}")
    findings.expect("accounting", counts["quarantined"] == 0, f"{counts['quarantined']} good items in quarantine")
    findings.expect("accounting", run["state"] == state, f"the run is {run['state']} ({run['reason']}), not {state}")


def check_changes(findings: Findings, suite: Suite, shop: Shop, runs: list[str], day: Day) -> None:
    """Each new and each changed book has one change and one observation of these runs."""
    found = [
        row
        for run_id in runs
        for row in suite.rows(
            "SELECT book_id, kind FROM change JOIN book ON book.number = book_number WHERE run_id = :run", run=run_id
        )
    ]
    expected = [(f"{shop.source}:{key}", "added") for key in day.added]
    expected += [(f"{shop.source}:{key}", "modified") for key in day.changed]
    findings.compare("changes", found, expected)


def check_records(findings: Findings, suite: Suite, shop: Shop) -> None:
    """The source's offers, books and observations say what the shop's pages say, each once."""
    rows = suite.rows(
        "SELECT offer.source_key, book.title, offer.price, offer.stock, book.price, book.stock"
        " FROM offer JOIN book ON book.number = offer.book_number"
        " WHERE offer.source = :source AND book.removed_at IS NULL",
        source=shop.source,
    )
    expected = []
    for key, book in shop.listed.items():
        price = int(book.price * _PRICE_SCALE)
        expected.append((key, book.title, price, book.stock, price, book.stock))
    findings.compare("records", rows, expected)
    in_force = suite.rows(
        "SELECT source_key, observation.price FROM observation JOIN offer ON offer.number = offer_number"
        " WHERE source = :source AND superseded_at IS NULL",
        source=shop.source,
    )
    findings.compare(
        "observations", in_force, [(key, int(book.price * _PRICE_SCALE)) for key, book in shop.listed.items()]
    )


def check_index(findings: Findings, suite: Suite, shop: Shop) -> None:
    """Search, through the gateway and its cache, shows the source's books as the records have them."""
    stored = suite.rows(
        "SELECT book_id, revision FROM book WHERE removed_at IS NULL AND number IN"
        " (SELECT book_number FROM offer WHERE source = :source)",
        source=shop.source,
    )
    shown = suite.books_where(f"source:{shop.source}")
    kept = {(book_id, revision, *_facts(shop, book_id)) for book_id, revision in stored}
    seen = [
        (book["id"], book["revision"], book["title"], Decimal(book["price"]["amount"]), book["stock"]) for book in shown
    ]
    differing = len(kept ^ set(seen)) + len(seen) - len(set(seen))
    findings.index += differing
    if differing:
        findings.notes.append(f"index: {differing} books differ from the records: {sorted(kept ^ set(seen))[:3]}")


def _facts(shop: Shop, book_id: str) -> tuple[str, Decimal, int]:
    book = shop.listed[book_id.split(":", 1)[1]]
    return book.title, book.price, book.stock


def check_bronze(findings: Findings, lake: Lake, shop: Shop, run: dict[str, Any]) -> None:
    """The lake has every item of the run as it was received, and no entry of the stream twice."""
    entries: list[str] = []
    numbers: set[int] = set()
    for file in lake.list(f"bronze/source={shop.source}"):
        with lake.open(file.path) as opened:
            table = pq.read_table(opened, columns=["entry_id", "run_id", "item_number"])
        entries += table["entry_id"].to_pylist()
        numbers |= {
            number
            for run_id, number in zip(table["run_id"].to_pylist(), table["item_number"].to_pylist(), strict=True)
            if run_id == run["id"] and number is not None
        }
    missing = set(range(1, run["counts"]["scraped"] + 1)) - numbers
    twice = len(entries) - len(set(entries))
    findings.lake += len(missing) + twice
    if missing or twice:
        findings.notes.append(f"bronze: {len(missing)} of {run['counts']['scraped']} items missing, {twice} twice")


def check_silver(findings: Findings, suite: Suite, lake: Lake, shop: Shop) -> None:
    """The lake's current offers and its observations of the source are those of the records, each once."""
    stored = suite.rows(
        "SELECT book_id, book.title, offer.price, offer.stock, revision FROM offer"
        " JOIN book ON book.number = book_number WHERE source = :source AND book.removed_at IS NULL",
        source=shop.source,
    )
    names = ["book_id", "title", "price_amount", "stock", "revision"]
    findings.compare_lake("silver's books", _silver(lake, f"silver/books/source={shop.source}", names), stored)
    observed = suite.rows(
        "SELECT book_id, observation.price, observation.stock FROM observation"
        " JOIN offer ON offer.number = offer_number JOIN book ON book.number = book_number WHERE source = :source",
        source=shop.source,
    )
    found = _silver(lake, f"silver/observations/source={shop.source}", ["book_id", "price_amount", "stock"])
    findings.compare_lake("silver's observations", found, observed)


def _silver(lake: Lake, folder: str, columns: list[str]) -> list[tuple[object, ...]]:
    """Rows of all files of a folder, prices as the records have them."""
    rows: list[tuple[object, ...]] = []
    for file in lake.list(folder):
        with lake.open(file.path) as opened:
            table = pq.read_table(opened, columns=columns)
        for row in table.to_pylist():
            row["price_amount"] = int(row["price_amount"] * _PRICE_SCALE)
            rows.append(tuple(row[column] for column in columns))
    return rows


def check_totals(findings: Findings, suite: Suite) -> None:
    """The whole index against the whole records: ids and revisions."""
    stored = dict(suite.rows("SELECT book_id, revision FROM book WHERE removed_at IS NULL"))
    shown = {book["id"]: book["revision"] for book in suite.books_where(fields="id,revision", sort="title")}
    differing = len(stored.items() ^ shown.items())
    findings.index += differing
    if differing:
        findings.notes.append(f"index: {differing} of {len(stored)} books differ over all sources")
