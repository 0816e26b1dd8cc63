"""Silver: tables of the current books and offers and of all observations, derived from the change feed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from bookwheel_stores.lake.book_tables import BOOKS, OFFERS, books_table, offers_table, parse_contents
from bookwheel_stores.lake.files import Lake
from bookwheel_stores.lake.tables import ConcurrentWriteError, LakeTable
from bookwheel_stores.records.feed.snapshots import ChangeDiff

FOLDER = "silver"
BUCKET_SIZE = 10_000
"""A bucket is a range of this many book numbers. Its rows are replaced together.

Observations are committed in batches of this many changes.
"""
_BUCKET_COLUMN = pa.field("bucket", pa.int32(), nullable=False)
OBSERVATIONS = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("book_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("date", pa.date32(), nullable=False),
        pa.field("observed_at", pa.timestamp("us", "UTC"), nullable=False),
        ("price_amount", pa.decimal128(14, 4)),
        ("price_currency", pa.string()),
        ("stock", pa.int64()),
        pa.field("in_stock", pa.bool_(), nullable=False),
    ]
)


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Converts a schema to the types of Delta tables and adds the column `bucket`."""
    return pa.schema([*(field.with_type(_stored_type(field.type)) for field in schema), _BUCKET_COLUMN])


def _stored_type(data_type: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(data_type):
        return data_type.value_type
    return pa.timestamp("us", "UTC") if pa.types.is_timestamp(data_type) else data_type


class Silver:
    """The silver tables. Each commit stores a cursor: the sequence up to which the table contains all changes."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.books = LakeTable(lake, f"{FOLDER}/books", stored_schema(BOOKS), partition_by="bucket")
        self.offers = LakeTable(lake, f"{FOLDER}/offers", stored_schema(OFFERS), partition_by="bucket")
        self.observations = LakeTable(lake, f"{FOLDER}/observations", OBSERVATIONS, partition_by="date")

    def load_books(self) -> int:
        """Loads the books and offers. Returns the sequence up to which both contain all changes."""
        return min(self.books.load(), self.offers.load())

    def write_books(self, bucket: int, pages: Iterable[Sequence[bytes]], *, cursor: int) -> None:
        """Replaces the books and offers of a bucket. Raises ConcurrentWriteError, LakeError."""
        parsed = pa.concat_tables([parse_contents(page) for page in pages] or [parse_contents([])])
        for table, rows in ((self.books, books_table(parsed)), (self.offers, offers_table(parsed))):
            buckets = pa.array([bucket] * rows.num_rows, _BUCKET_COLUMN.type)
            table.replace(rows.append_column(_BUCKET_COLUMN, buckets), f"bucket = {bucket}", cursor=cursor)

    def snapshot(self) -> "SilverSnapshot":
        """Raises ConcurrentWriteError if another writer has updated only one of the two tables."""
        cursors = {self.books.load(), self.offers.load()}
        if len(cursors) > 1:
            raise ConcurrentWriteError("another writer is updating the lake's books")
        return SilverSnapshot(cursors.pop(), self.books.snapshot(), self.offers.snapshot())

    def append_observations(self, changes: Iterable[Sequence[ChangeDiff]], *, cursor: int) -> None:
        """Appends the observations of the changes from the loaded cursor to `cursor`.

        Raises ConcurrentWriteError, LakeError.
        """
        rows = [row for page in changes for change in page for row in _observation_rows(change)]
        self.observations.append(pa.Table.from_pylist(rows, schema=OBSERVATIONS), cursor=cursor)

    def delete(self) -> None:
        """Deletes all tables. They can be built again from the feed. No other process may use them."""
        self.lake.delete([file.path for file in self.lake.list(FOLDER)])


@dataclass(frozen=True, slots=True)
class SilverSnapshot:
    """The books and offers as of one sequence of the feed. Later commits do not change them."""

    sequence: int
    _books: DeltaTable
    _offers: DeltaTable

    def books(self) -> Iterator[pa.Table]:
        """Returns tables with the schema `BOOKS`, one per bucket, ordered by book number."""
        return _buckets(self._books, BOOKS)

    def offers(self) -> Iterator[pa.Table]:
        """Returns tables with the schema `OFFERS`, one per bucket, ordered by book number."""
        return _buckets(self._offers, OFFERS)


def _buckets(table: DeltaTable, schema: pa.Schema) -> Iterator[pa.Table]:
    dataset = table.to_pyarrow_dataset()
    for bucket in sorted({int(partition["bucket"]) for partition in table.partitions()}):
        rows = dataset.to_table(filter=pc.field("bucket") == bucket, columns=schema.names)
        yield rows.cast(schema)


def _observation_rows(change: ChangeDiff) -> Iterator[dict[str, Any]]:
    """Returns one row per offer whose price or stock was changed."""
    if change.after is None or change.removed:
        return
    before = {} if change.before is None else _offers(orjson.loads(change.before))
    book = orjson.loads(change.after)
    observed_at = datetime.fromtimestamp(change.changed_at / 1000, UTC)
    for (source, url), values in _offers(book).items():
        if before.get((source, url)) != values:
            price, stock, in_stock = values
            yield {
                "sequence": change.sequence,
                "book_id": book["id"],
                "source": source,
                "url": url,
                "date": observed_at.date(),
                "observed_at": observed_at,
                "price_amount": Decimal(price["amount"]) if price else None,
                "price_currency": price["currency"] if price else None,
                "stock": stock,
                "in_stock": in_stock,
            }


def _offers(book: dict[str, Any]) -> dict[tuple[str, str], tuple[Any, Any, Any]]:
    return {
        (offer["source"], offer["url"]): (offer["price"], offer["stock"], offer["in_stock"]) for offer in book["offers"]
    }
