"""A baseline for ingest: a loop that writes prepared rows and documents."""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tantivy
from bookwheel_stores.records import ChangeFeed, connect_database, upgrade_database
from bookwheel_stores.search.tantivy.schema import build_schema, document_fields, index_folder, register_tokenizer

TABLES = ("book", "offer", "observation", "change", "processed_item")
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536", "wal_autocheckpoint=4000")
"""The same pragmas, and so the same durability, as the records."""
HEAP_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """The rows of each table and the fields of each document that a processor wrote, in the order of the items."""

    runs: list[tuple[object, ...]]
    rows: dict[str, list[tuple[object, ...]]]
    documents: list[dict[str, object]]


def read_written_rows(records: Path) -> WrittenRows:
    """Reads the records of a catalog where each item is a new book with one offer: one row per item in each table."""
    engine = connect_database(f"sqlite:///{records}")
    books = ChangeFeed(engine).list_books(after_number=0, limit=1_000_000)
    engine.dispose()
    with sqlite3.connect(records) as connection:
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
        runs = connection.execute("SELECT * FROM crawl_run").fetchall()
    if {len(table_rows) for table_rows in rows.values()} != {len(books)}:
        raise ValueError("the tables differ in length")
    return WrittenRows(runs, rows, [{**document_fields(book), "body": book.content} for book in books])


def write_rows(written: WrittenRows, folder: Path, *, transaction: int, commit: int) -> float:
    """Writes records and an index, `transaction` rows and `commit` documents at a time. Returns items/s."""
    records = folder / "bookwheel.sqlite"
    engine = connect_database(f"sqlite:///{records}")
    upgrade_database(engine)
    engine.dispose()
    connection = sqlite3.connect(records, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    index_path = index_folder(folder / "index")
    index_path.mkdir(parents=True)
    schema = build_schema()
    index = tantivy.Index(schema, path=str(index_path))
    register_tokenizer(index)
    writer = index.writer(HEAP_BYTES, 1)
    inserts = {table: f"INSERT INTO {table} VALUES ({_placeholders(rows)})" for table, rows in written.rows.items()}

    documents = written.documents
    started = time.perf_counter()
    connection.executemany(f"INSERT INTO crawl_run VALUES ({_placeholders(written.runs)})", written.runs)
    for start in range(0, len(documents), transaction):
        end = start + transaction
        connection.execute("BEGIN IMMEDIATE")
        for table, rows in written.rows.items():
            connection.executemany(inserts[table], rows[start:end])
        connection.execute("COMMIT")
        for fields in documents[start:end]:
            writer.add_document(tantivy.Document.from_dict(fields, schema))
        if end % commit == 0 or end >= len(documents):
            writer.commit()
    seconds = time.perf_counter() - started

    writer.wait_merging_threads()
    connection.close()
    return len(documents) / seconds


def _placeholders(rows: Sequence[Sequence[object]]) -> str:
    return ", ".join("?" * len(rows[0]))
