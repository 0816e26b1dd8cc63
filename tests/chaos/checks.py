"""Checks after each round."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bookwheel_stores.lake import Lake
from bookwheel_testing.lakes import lake_rows
from bookwheel_testing.suite_under_test import SuiteUnderTest

from tests.chaos.chaos_shop import Shop

_VERDICTS = ("added", "modified", "unchanged", "duplicate", "quarantined")
_PRICE_SCALE = 10_000
_BOOK_COLUMNS = ["book_id", "title", "price_amount", "stock", "revision"]


@dataclass(slots=True)
class Findings:
    """Counts of errors by kind. `notes` describe the errors."""

    lost: int = 0
    doubled: int = 0
    accounting: int = 0
    index: int = 0
    lake: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.accounting or self.index or self.lake or self.notes)

    def compare(self, name: str, actual: Iterable[object], expected: Iterable[object]) -> None:
        """Counts missing items as lost, and unexpected or repeated items as doubled."""
        actual_counts, expected_counts = Counter(actual), Counter(expected)
        lost, doubled = (expected_counts - actual_counts).total(), (actual_counts - expected_counts).total()
        self.lost += lost
        self.doubled += doubled
        if lost or doubled:
            examples = [*list(expected_counts - actual_counts)[:2], *list(actual_counts - expected_counts)[:2]]
            self.notes.append(f"{name}: {lost} lost, {doubled} doubled, such as {examples}")

    def compare_lake(self, name: str, actual: Iterable[object], expected: Iterable[object]) -> None:
        actual_counts, expected_counts = Counter(actual), Counter(expected)
        missing, unexpected = expected_counts - actual_counts, actual_counts - expected_counts
        differing = missing.total() + unexpected.total()
        self.lake += differing
        if differing:
            self.notes.append(f"{name}: {differing} differ, such as {[*missing, *unexpected][:3]}")

    def note(self, error: Exception) -> None:
        self.notes.append(f"{type(error).__name__}: {str(error)[:500]}")

    def expect(self, counter: str, condition: bool, note: str) -> None:
        if not condition:
            setattr(self, counter, getattr(self, counter) + 1)
            self.notes.append(note)


def check_run(findings: Findings, run: dict[str, Any], *, state: str = "complete") -> None:
    """Checks the counts and the state of a finished run."""
    counts = run["counts"]
    verdict_count = sum(counts[verdict] for verdict in _VERDICTS)
    findings.expect(
        "accounting", counts["scraped"] == verdict_count, f"scraped is not the sum of the verdicts: {counts}"
    )
    findings.expect("accounting", counts["quarantined"] == 0, f"{counts['quarantined']} valid items in quarantine")
    findings.expect("accounting", run["state"] == state, f"the run is {run['state']} ({run['reason']}), not {state}")


def check_changes(findings: Findings, suite: SuiteUnderTest, shop: Shop) -> None:
    """Checks that the feed has exactly one change for each change of the shop."""
    changes = suite.rows(
        "SELECT book_id, kind FROM change JOIN book ON book.number = change.book_number WHERE book.number IN"
        " (SELECT book_number FROM offer WHERE source = :source)",
        source=shop.source,
    )
    findings.compare("changes", changes, [(f"{shop.source}:{key}", kind.value) for key, kind in shop.changes])


def check_records(findings: Findings, suite: SuiteUnderTest, shop: Shop) -> None:
    """Checks that offers, books and observations of the source match the shop's pages exactly once."""
    rows = suite.rows(
        "SELECT offer.source_key, book.title, offer.price, offer.stock, book.price, book.stock"
        " FROM offer JOIN book ON book.number = offer.book_number"
        " WHERE offer.source = :source AND (offer.removed_at IS NULL OR book.removed_at IS NULL)",
        source=shop.source,
    )
    expected = []
    for key, book in shop.expected_books.items():
        price = int(book.price * _PRICE_SCALE)
        expected.append((key, book.title, price, book.stock, price, book.stock))
    findings.compare("records", rows, expected)
    current = suite.rows(
        "SELECT source_key, observation.price FROM observation JOIN offer ON offer.number = offer_number"
        " WHERE source = :source AND superseded_at IS NULL",
        source=shop.source,
    )
    findings.compare(
        "observations", current, [(key, int(book.price * _PRICE_SCALE)) for key, book in shop.expected_books.items()]
    )


def check_index(findings: Findings, suite: SuiteUnderTest, shop: Shop) -> None:
    """Checks that search through the gateway and its cache matches the records."""
    stored = suite.rows(
        "SELECT book_id, revision, title, price, stock FROM book WHERE removed_at IS NULL AND number IN"
        " (SELECT book_number FROM offer WHERE source = :source)",
        source=shop.source,
    )
    search_results = [
        (book["id"], book["revision"], book["title"], _scaled(Decimal(book["price"]["amount"])), book["stock"])
        for book in suite.books_where(f"source:{shop.source}")
    ]
    differing = len(set(stored) ^ set(search_results)) + len(search_results) - len(set(search_results))
    findings.index += differing
    if differing:
        examples = sorted(set(stored) ^ set(search_results))[:3]
        findings.notes.append(f"index: {differing} books differ from the records: {examples}")


def check_bronze(findings: Findings, lake: Lake, shop: Shop, run: dict[str, Any]) -> None:
    """Checks that bronze has every item of the run, and no entry of the stream twice."""
    rows = lake_rows(lake, "bronze/entries", ["entry_id", "source", "run_id", "item_number"])
    entries = [row["entry_id"] for row in rows if row["source"] == shop.source]
    numbers = {row["item_number"] for row in rows if row["run_id"] == run["id"]}
    missing = set(range(1, run["counts"]["scraped"] + 1)) - numbers
    duplicates = len(entries) - len(set(entries))
    findings.lake += len(missing) + duplicates
    if missing or duplicates:
        findings.notes.append(
            f"bronze: {len(missing)} of {run['counts']['scraped']} items missing, {duplicates} doubled"
        )


def check_silver(findings: Findings, suite: SuiteUnderTest, lake: Lake, shop: Shop) -> None:
    """Checks that offers and observations of the lake match the records exactly once."""
    stored = suite.rows(
        "SELECT book_id, book.title, offer.price, offer.stock, revision FROM offer"
        " JOIN book ON book.number = book_number WHERE source = :source AND book.removed_at IS NULL",
        source=shop.source,
    )
    findings.compare_lake("silver's offers", _silver_rows(lake, "offers", _BOOK_COLUMNS, shop.source), stored)
    observed = suite.rows(
        "SELECT book_id, observation.price, observation.stock FROM observation"
        " JOIN offer ON offer.number = offer_number JOIN book ON book.number = book_number WHERE source = :source",
        source=shop.source,
    )
    lake_observations = _silver_rows(lake, "observations", ["book_id", "price_amount", "stock"], shop.source)
    findings.compare_lake("silver's observations", lake_observations, observed)


def _silver_rows(lake: Lake, table: str, columns: list[str], source: str | None = None) -> list[tuple[object, ...]]:
    """Returns the rows of a table, with prices scaled as in the records. `source` selects the rows of a source."""
    rows = lake_rows(lake, f"silver/{table}", columns if source is None else [*columns, "source"])
    for row in rows:
        row["price_amount"] = _scaled(row["price_amount"])
    return [tuple(row[column] for column in columns) for row in rows if source is None or row["source"] == source]


def _scaled(price: Decimal | None) -> int | None:
    return None if price is None else int(price * _PRICE_SCALE)


def check_totals(findings: Findings, suite: SuiteUnderTest, lake: Lake) -> None:
    """Compares the ids and revisions of all records with the index, and all books with the lake."""
    books = suite.rows("SELECT book_id, title, price, stock, revision FROM book WHERE removed_at IS NULL")
    stored = {book_id: revision for book_id, *_, revision in books}
    indexed = {book["id"]: book["revision"] for book in suite.books_where(fields="id,revision", sort="title")}
    differing = len(stored.items() ^ indexed.items())
    findings.index += differing
    if differing:
        findings.notes.append(f"index: {differing} of {len(stored)} books of all sources differ")
    findings.compare_lake("silver's books", _silver_rows(lake, "books", _BOOK_COLUMNS), books)
