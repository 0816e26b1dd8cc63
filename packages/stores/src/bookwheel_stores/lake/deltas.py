"""Streams export deltas, the books that changed between two sequences, as JSON, CSV or Parquet."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import orjson
import pyarrow as pa

from bookwheel_stores.lake.book_tables import BOOKS, as_single_array, books_table, for_csv, parse_contents
from bookwheel_stores.lake.export_writer import WRITERS, DrainableBuffer, prefetch
from bookwheel_stores.records.feed.snapshots import BookDiff

_IGNORED_FIELDS = frozenset({"revision", "last_changed"})
"""Fields that also differ if a book was changed and changed back. They do not count as a difference."""
_BOOK_COLUMNS = [field.with_nullable(True) for field in BOOKS if field.name != "book_id"]
DELTA = pa.schema(
    [
        pa.field("change", pa.string(), nullable=False),
        pa.field("book_id", pa.string(), nullable=False),
        pa.field("fields", pa.list_(pa.string()), nullable=False),
        *_BOOK_COLUMNS,
        *(field.with_name(f"before_{field.name}") for field in _BOOK_COLUMNS),
    ]
)
"""The schema of a delta, with one row per changed book. The prefix `before_` marks the fields before the change."""


class DeltaRow(NamedTuple):
    """`fields` are the differing fields of a modified book. `before` and `after` are its contents, None if absent."""

    change: Literal["added", "modified", "removed"]
    book_id: str
    fields: list[str]
    before: bytes | None
    after: bytes | None


def delta_rows(differences: Iterable[Sequence[BookDiff]]) -> Iterator[list[DeltaRow]]:
    """Returns the changed books in pages."""
    for page in differences:
        rows = [row for difference in page if (row := _row(difference)) is not None]
        if rows:
            yield rows


def _row(difference: BookDiff) -> DeltaRow | None:
    before = None if difference.before is None else orjson.loads(difference.before)
    after = None if difference.after is None else orjson.loads(difference.after)
    if before is None:
        return None if after is None else DeltaRow("added", after["id"], [], None, difference.after)
    if after is None:
        return DeltaRow("removed", before["id"], [], difference.before, None)
    fields = sorted(name for name in after.keys() - _IGNORED_FIELDS if after[name] != before.get(name))
    return DeltaRow("modified", after["id"], fields, difference.before, difference.after) if fields else None


def delta_json(rows: Iterable[list[DeltaRow]], *, earlier: int, later: int) -> Iterator[bytes]:
    """Renders `{"from", "to", "items": [{"change", "book_id", "fields", "before", "after"}]}` in chunks."""
    separator = b""
    yield b'{"from":%d,"to":%d,"items":[' % (earlier, later)
    for page in rows:
        items = [
            orjson.dumps(
                {
                    "change": row.change,
                    "book_id": row.book_id,
                    "fields": row.fields,
                    "before": row.before and orjson.Fragment(row.before),
                    "after": row.after and orjson.Fragment(row.after),
                }
            )
            for row in page
        ]
        yield separator + b",".join(items)
        separator = b","
    yield b"]}"


def delta_tables(rows: Iterable[list[DeltaRow]], file_format: Literal["csv", "parquet"]) -> Iterator[bytes]:
    """Renders a file with the schema `DELTA` in chunks."""
    buffer = DrainableBuffer()
    with WRITERS[file_format](buffer, DELTA) as writer:
        for table in prefetch(_table(page) for page in rows):
            writer.write_table(for_csv(table) if file_format == "csv" else table)
            yield buffer.drain()
    yield buffer.drain()


def _table(rows: Sequence[DeltaRow]) -> pa.Table:
    after = books_table(parse_contents([row.after or b"{}" for row in rows]))
    before = books_table(parse_contents([row.before or b"{}" for row in rows]))
    columns: list[Any] = [
        pa.array([row.change for row in rows], pa.string()),
        pa.array([row.book_id for row in rows], pa.string()),
        pa.array([row.fields for row in rows], pa.list_(pa.string())),
        *(after[field.name] for field in _BOOK_COLUMNS),
        *(before[field.name] for field in _BOOK_COLUMNS),
    ]
    return pa.Table.from_arrays([as_single_array(column) for column in columns], schema=DELTA)
