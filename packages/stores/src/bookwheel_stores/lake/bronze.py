"""Bronze: the entries of the raw stream as received."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from bookwheel_contracts.message_head import read_head

from bookwheel_stores.lake.files import Lake
from bookwheel_stores.lake.tables import ConcurrentWriteError, LakeTable
from bookwheel_stores.streams import StreamEntry

TABLE = "bronze/entries"
SCHEMA = pa.schema(
    [
        pa.field("entry_id", pa.string(), nullable=False),
        pa.field("received_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("date", pa.date32(), nullable=False),
        ("source", pa.string()),
        ("kind", pa.string()),
        ("run_id", pa.string()),
        ("item_number", pa.int64()),
        pa.field("body", pa.binary(), nullable=False),
    ]
)
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Bronze:
    """Stores each entry once, even if several consumers add it repeatedly or in different batches."""

    lake: Lake
    table: LakeTable = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", LakeTable(self.lake, TABLE, SCHEMA, partition_by="date"))

    def add(self, entries: Sequence[StreamEntry]) -> int:
        """Stores new entries in one commit and returns their number. Raises LakeError."""
        new_entries = {entry.id: entry for entry in entries}
        for attempt in range(1, _ATTEMPTS + 1):
            commit_count = self.table.load()
            for batch in self.read_entries(list(new_entries.values()), columns="entry_id"):
                for entry_id in batch["entry_id"].to_pylist():
                    new_entries.pop(entry_id, None)
            if not new_entries:
                return 0
            rows = [_row(entry) for _, entry in sorted(new_entries.items())]
            try:
                self.table.append(pa.Table.from_pylist(rows, schema=SCHEMA), cursor=commit_count + 1)
            except ConcurrentWriteError:  # another consumer has committed, perhaps the same entries
                if attempt == _ATTEMPTS:
                    raise
            else:
                return len(rows)
        return 0

    def read_entries(self, entries: Sequence[StreamEntry], *, columns: str) -> Iterator[pa.RecordBatch]:
        """Returns the stored rows from the first to the last entry id, as of the loaded version."""
        if not entries:
            return
        ids = [entry.id for entry in entries]
        days = ", ".join(sorted({f"DATE '{_received_at(entry).date()}'" for entry in entries}))
        # With these conditions, Delta skips files by their statistics.
        condition = f"date IN ({days}) AND entry_id BETWEEN {_literal(min(ids))} AND {_literal(max(ids))}"
        yield from self.table.query(f"SELECT {columns} FROM rows WHERE {condition}")  # noqa: S608 - literals are quoted


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _received_at(entry: StreamEntry) -> datetime:
    return datetime.fromtimestamp(int(entry.id.partition("-")[0]) / 1000, UTC)


def _row(entry: StreamEntry) -> dict[str, object]:
    head = read_head(entry.body)
    received_at = _received_at(entry)
    return {
        "entry_id": entry.id,
        "received_at": received_at,
        "date": received_at.date(),
        "source": head.source,
        "kind": head.kind,
        "run_id": head.run_id,
        "item_number": head.item_number,
        "body": entry.body,
    }
