"""Silver: the catalog as it is now and every observed price, in Parquet; made from the change feed."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bookwheel_stores.lake.book_tables import BOOKS, OFFERS, amounts, books_table, offers_table, parse_contents
from bookwheel_stores.lake.files import Lake
from bookwheel_stores.lake.partitions import partition_name, partition_value
from bookwheel_stores.records.feed.snapshots import ChangeDiff

BUCKET = 10_000
"""Book numbers in a file of current books, and changes in a file of observations. Part of the files' names."""
CATALOG, BOOKS_BY_SOURCE, OBSERVATIONS = "silver/catalogue", "silver/books", "silver/observations"
COMPRESSION = "zstd"
_UP_TO = b"bookwheel.up_to"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OBSERVED = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("book_id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("observed_at", pa.timestamp("ms", "UTC"), nullable=False),
        ("price_amount", pa.decimal128(14, 4)),
        ("price_currency", pa.string()),
        ("stock", pa.int64()),
        pa.field("in_stock", pa.bool_(), nullable=False),
    ]
)


def range_name(number: int, *, size: int = BUCKET) -> str:
    """Of the bucket `number` from 0: its first and last book number or sequence."""
    return range_text(number * size + 1, (number + 1) * size)


def range_text(first: int, last: int) -> str:
    return f"{first:012d}-{last:012d}"


class Silver:
    """A file's content follows from its name and the feed alone, so writing one again replaces it by itself or by a
    newer state: nothing doubles, whoever was killed where. Each file changes at once.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def write_books(self, bucket: int, pages: Iterable[Sequence[bytes]]) -> None:
        """Puts the bucket's books in place: whole in the catalog, and by the sources that offer them."""
        name = f"{range_name(bucket)}.parquet"
        parsed = pa.concat_tables([parse_contents(page) for page in pages] or [parse_contents([])])
        offers = offers_table(parsed)
        stale = {file.path for file in self.lake.list(BOOKS_BY_SOURCE) if file.path.endswith(f"/{name}")}
        if parsed.num_rows:
            self._write(f"{CATALOG}/{name}", books_table(parsed))
        else:
            self.lake.delete([f"{CATALOG}/{name}"])
        for source in offers["source"].combine_chunks().unique().to_pylist():
            path = f"{BOOKS_BY_SOURCE}/source={partition_value(source)}/{name}"
            own = offers.filter(pc.equal(offers["source"], source))
            self._write(path, own.drop_columns(["source"]))
            stale.discard(path)
        self.lake.delete(sorted(stale))

    def write_observations(self, bucket: int, changes: Iterable[Sequence[ChangeDiff]], *, up_to: int) -> None:
        """Puts what the bucket's changes, up to that sequence, observed in place, by source and day."""
        name = f"{range_name(bucket)}.parquet"
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for page in changes:
            for change in page:
                day = f"{_EPOCH + timedelta(milliseconds=change.changed_at):%Y-%m-%d}"
                for source, row in _observed(change):
                    rows[f"source={partition_value(source)}/date={day}"].append(row)
        for partition, found in sorted(rows.items()):
            table = _observed_table(found).replace_schema_metadata({_UP_TO: f"{up_to}"})
            self._write(f"{OBSERVATIONS}/{partition}/{name}", table)

    def catalog(self) -> Iterator[pa.Table]:
        """The unified table, a bucket at a time, by book number; in the form of `BOOKS`."""
        for file in self.lake.list(CATALOG):
            with self.lake.open(file.path) as opened:
                yield pq.read_table(opened).cast(BOOKS)

    def sources(self) -> dict[str, str]:
        """Those that offer books now, by name, and the folder of each."""
        folders = sorted({file.path.split("/")[2] for file in self.lake.list(BOOKS_BY_SOURCE)})
        return {partition_name(folder): folder for folder in folders}

    def books_in(self, folder: str, source: str) -> Iterator[pa.Table]:
        """A source's offers with their books, a bucket at a time; in the form of `OFFERS`."""
        for file in self.lake.list(f"{BOOKS_BY_SOURCE}/{folder}"):
            with self.lake.open(file.path) as opened:
                found = pq.read_table(opened)
            label = pa.DictionaryArray.from_arrays(pa.array([0] * found.num_rows, pa.int32()), pa.array([source]))
            yield found.add_column(0, OFFERS.field("source"), label).cast(OFFERS)

    def _write(self, path: str, table: pa.Table) -> None:
        with self.lake.writing(path) as file:
            pq.write_table(table, file, compression=COMPRESSION)


def up_to_of(table: pa.Table) -> int:
    """The sequence up to which a file of observations held all of its range when it was written. One that does not say,
    such as a merged one, held all."""
    noted = (table.schema.metadata or {}).get(_UP_TO)
    return sys.maxsize if noted is None else int(noted)


def _observed(change: ChangeDiff) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the change says anew of each offer, beside its source."""
    if change.after is None or change.removed:
        return
    before = {} if change.before is None else _offers(change.before)[1]
    book_id, offers = _offers(change.after)
    for key, said in offers.items():
        if before.get(key) != said:
            price, stock, in_stock = said
            yield (
                key[0],
                {
                    "sequence": change.sequence,
                    "book_id": book_id,
                    "url": key[1],
                    "observed_at": change.changed_at,
                    "price_amount": price["amount"] if price else None,
                    "price_currency": price["currency"] if price else None,
                    "stock": stock,
                    "in_stock": in_stock,
                },
            )


def _offers(content: bytes) -> tuple[str, dict[tuple[str, str], tuple[Any, Any, Any]]]:
    book = orjson.loads(content)
    said = {(one["source"], one["url"]): (one["price"], one["stock"], one["in_stock"]) for one in book["offers"]}
    return book["id"], said


def _observed_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    columns = []
    for field in OBSERVED:
        values = [row[field.name] for row in rows]
        if pa.types.is_decimal(field.type):
            columns.append(amounts(pa.array(values, pa.string())))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=OBSERVED)
