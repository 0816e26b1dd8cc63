"""A baseline for ingest: one Celery task per item, which cleans it, writes one book and indexes one document."""

import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import tantivy
from bookwheel_contracts import RawItem
from bookwheel_processor.cleaning.item import clean_item
from bookwheel_scraper.publishing.item_messages import ItemMessageBuilder, ScrapedBook
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.servers import running, wait_until
from celery import Celery

FIELDS = ("title", "category", "description")
QUEUE, PREPARED_QUEUE = "celery", "prepared_tasks"
TABLE = "CREATE TABLE book (id TEXT PRIMARY KEY, title TEXT, category TEXT, description TEXT, price TEXT)"
app = Celery("celery-baseline", broker=os.environ.get("BOOKWHEEL_REDIS_URL"))
app.conf.task_ignore_result = True


class Stores(NamedTuple):
    records: sqlite3.Connection
    documents: tantivy.IndexWriter


@cache
def open_stores() -> Stores:
    """Opens the stores once per worker: opening them for each item would be even slower."""
    folder = Path(os.environ["BOOKWHEEL_STATE_DIR"])
    schema = tantivy.SchemaBuilder()
    schema.add_text_field("id", stored=True, tokenizer_name="raw")
    for field in FIELDS:
        schema.add_text_field(field, stored=True)
    index_folder = folder / "index"
    index_folder.mkdir(exist_ok=True)
    index = tantivy.Index(schema.build(), path=str(index_folder))
    return Stores(sqlite3.connect(_records_file(folder)), index.writer(64_000_000, 1))


def ingest_item(body: str) -> None:
    records, documents = open_stores()
    offer = clean_item(RawItem.model_validate_json(body))
    facts = offer.details
    book = {"id": offer.book_id, "title": facts.title, "category": facts.category, "description": facts.description}
    price = str(offer.price.amount) if offer.price else None
    with records:
        records.execute("INSERT OR REPLACE INTO book VALUES (?, ?, ?, ?, ?)", (*book.values(), price))
    document = tantivy.Document()
    for field, value in book.items():
        document.add_text(field, value or "")
    documents.delete_documents_by_term("id", offer.book_id)
    documents.add_document(document)
    documents.commit()


task = app.task(ingest_item, name="ingest_item")


@dataclass(frozen=True, slots=True)
class CeleryBaseline:
    """One worker process, because Tantivy allows one writer. `folder` holds its stores."""

    folder: Path
    redis_url: str

    @contextmanager
    def running(self) -> Iterator[None]:
        self.folder.mkdir()
        with closing(sqlite3.connect(_records_file(self.folder))) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(TABLE)
        environment = os.environ | {"BOOKWHEEL_REDIS_URL": self.redis_url, "BOOKWHEEL_STATE_DIR": str(self.folder)}
        worker = ["worker", "--concurrency=1", "-lINFO"]
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.celery_baseline", *worker]
        log = self.folder / "worker.log"
        with running(command, log=log, ready=lambda: "ready." in log.read_text(), environment=environment):
            yield

    def ingest(self, books: Sequence[ScrapedBook]) -> float:
        """Returns items/s for new books. All tasks are in Redis before the clock starts."""
        item_messages = ItemMessageBuilder(run_id="run", source="demo", traceparent="")
        with app.connection_for_write(self.redis_url) as connection:
            for number, book in enumerate(books, 1):
                body = item_messages.build(book, item_number=number).decode()
                task.apply_async((body,), queue=PREPARED_QUEUE, connection=connection)
        expected = self._count() + len(books)
        started = time.perf_counter()
        connect_redis(self.redis_url).rename(PREPARED_QUEUE, QUEUE)
        wait_until(lambda: self._count() == expected, seconds=120, what=f"{len(books)} items ingested by Celery tasks")
        return len(books) / (time.perf_counter() - started)

    def _count(self) -> int:
        with closing(sqlite3.connect(_records_file(self.folder))) as connection:
            return int(connection.execute("SELECT count(*) FROM book").fetchone()[0])


def _records_file(folder: Path) -> Path:
    return folder / "books.sqlite"
