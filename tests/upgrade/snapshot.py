"""Reads the responses of a suite about its data before and after an upgrade, and compares them."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.records import connect_database
from bookwheel_testing.lakes import lake_rows
from bookwheel_testing.suite_under_test import SuiteUnderTest
from pyarrow.dataset import dataset
from sqlalchemy import inspect

SEARCHES = ("sea", "the night", "histori", '"the"')
SOURCE = "source:demo"
_ENTRY = ["entry_id", "body"]
_OBSERVATION = ["sequence", "book_id", "url", "observed_at", "price_amount", "price_currency", "stock", "in_stock"]


def take_snapshot(suite: SuiteUnderTest, *, as_of: str) -> dict[str, Any]:
    """Returns all responses of the API about the source `demo`, except the data of accounts."""
    changes = list(pages(suite, "/api/v1/changes", "after", limit="1000"))
    exports = list(pages(suite, "/api/v1/exports", "cursor"))
    runs = [run for run in pages(suite, "/api/v1/crawls", "cursor", limit="50") if run["state"] != "queued"]
    [webhook] = suite.get("/api/v1/webhooks")["items"]
    models = suite.get("/api/v1/ml/models")["items"]
    ids = sorted({change["book"]["id"] for change in changes})
    return {
        "books": {book["id"]: book for book in suite.books_where(SOURCE)},
        "details": {book_id: detail(suite, book_id) for book_id in ids},
        "history": {book_id: suite.get(f"/api/v1/books/{book_id}/history") for book_id in ids},
        "changes": {str(change["sequence"]): change for change in changes},
        "searches": {text: sorted(book["id"] for book in suite.books_where(SOURCE, q=text)) for text in SEARCHES},
        "overview": suite.get("/api/v1/stats/overview", params={"filter": SOURCE}),
        "categories": suite.get("/api/v1/categories", params={"filter": SOURCE}),
        "statistics": suite.get("/api/v1/stats/categories", params={"filter": SOURCE}),
        "exports": {str(export["version"]): export for export in exports},
        "files": {file["path"]: checksum(suite, file["path"]) for export in exports for file in export["files"]},
        "deltas": {str(export["version"]): suite.get(f"/api/v1/exports/0..{export['version']}") for export in exports},
        "as_of": {row["book_id"]: row for row in read_csv(suite, as_of)},
        "runs": {run["id"]: suite.get(f"/api/v1/crawls/{run['id']}") for run in runs},
        "quality": {run["id"]: quality(suite, run) for run in runs},
        "quarantine": {
            str(entry["id"]): suite.get(f"/api/v1/quarantine/{entry['id']}")
            for entry in pages(suite, "/api/v1/quarantine", "after", limit="200")
        },
        "webhook": {name: value for name, value in webhook.items() if name != "position"},
        "deliveries": {
            delivery["id"]: delivery
            for delivery in pages(suite, f"/api/v1/webhooks/{webhook['id']}/deliveries", "cursor", limit="100")
        },
        "models": {model["version"]: suite.get(f"/api/v1/ml/models/{model['version']}") for model in models},
        "features": suite.get("/api/v1/ml/features"),
    }


def pages(suite: SuiteUnderTest, path: str, cursor: str, **parameters: str) -> Iterator[dict[str, Any]]:
    while True:
        page = suite.get(path, params=parameters)
        yield from page["items"]
        if page.get("next") is None or not page["items"]:
            return
        parameters[cursor] = str(page["next"])


def detail(suite: SuiteUnderTest, book_id: str) -> dict[str, Any]:
    """Returns the book; its status and code if it was removed."""
    response = suite.request("GET", f"/api/v1/books/{book_id}")
    content: dict[str, Any] = response.json()
    return content if response.is_success else {"status": response.status_code, "code": content["code"]}


def quality(suite: SuiteUnderTest, run: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the report of the run, with fields by name."""
    reports: list[dict[str, Any]] = suite.get(f"/api/v1/quality/{run['source']}", params={"run": run["id"]})["items"]
    [report] = reports
    return report | {"fields": {field["field"]: field for field in report["fields"]}}


def checksum(suite: SuiteUnderTest, path: str) -> str:
    return hashlib.sha256(suite.request("GET", f"/api/v1/{path}").raise_for_status().content).hexdigest()


def read_csv(suite: SuiteUnderTest, as_of: str) -> list[dict[str, str]]:
    response = suite.request("GET", "/api/v1/exports/books.csv", params={"as_of": as_of}).raise_for_status()
    return list(csv.DictReader(response.text.splitlines(keepends=True)))


def row_counts(suite: SuiteUnderTest) -> Counter[str]:
    """Returns the number of rows by table of the records."""
    engine = connect_database(suite.program_environment["BOOKWHEEL_DATABASE_URL"])
    tables = inspect(engine).get_table_names()
    engine.dispose()
    return Counter({table: suite.rows(f'SELECT count(*) FROM "{table}"')[0][0] for table in tables})


def find_differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yields values of `before` that are missing or different in `after`. Objects may have additional fields."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in after:
                yield from find_differences(value, after[name], f"{path}/{name}")
            else:
                yield f"{path}/{name} is missing: {value}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for position, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from find_differences(old, new, f"{path}/{position}")
    elif before != after:
        yield f"{path} was {before}, is {after}"


@dataclass(frozen=True)
class LakeContents:
    """The bodies of stream entries by id, and the rows of the observations."""

    entries: dict[str, bytes]
    observations: set[tuple[Any, ...]]


def read_lake(suite: SuiteUnderTest) -> LakeContents:
    """Reads Delta tables, or the Parquet files of earlier versions."""
    lake = _lake(suite)
    entries = _rows(lake, "bronze/entries", "bronze", _ENTRY)
    observations = _rows(lake, "silver/observations", "silver/observations", _OBSERVATION)
    return LakeContents(
        {row["entry_id"]: row["body"] for row in entries},
        {tuple(row[column] for column in _OBSERVATION) for row in observations},
    )


def _lake(suite: SuiteUnderTest) -> Lake:
    settings = suite.program_environment
    names = ("BOOKWHEEL_LAKE_ENDPOINT", "BOOKWHEEL_LAKE_ACCESS_KEY", "BOOKWHEEL_LAKE_SECRET_KEY")
    endpoint, access_key, secret_key = (settings.get(name) for name in names)
    address = LakeAddress(settings["BOOKWHEEL_LAKE_URL"], endpoint, access_key=access_key, secret_key=secret_key)
    return Lake(address)


def _rows(lake: Lake, table: str, folder: str, columns: list[str]) -> list[dict[str, Any]]:
    rows = lake_rows(lake, table, columns)
    if not rows:
        address = lake.address
        path, filesystem = f"{address.root}/{folder}", address.filesystem()
        files = dataset(path, filesystem=filesystem, partitioning="hive", format="parquet")
        rows = files.to_table(columns=columns).to_pylist()
    return rows
