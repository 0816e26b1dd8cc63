"""What SQLite and PostgreSQL do each in its own way. All that differs between the two engines is behind this port."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Table

Row = dict[str, Any]


class Dialect(Protocol):
    """Rows are dictionaries under the columns' names, all rows of a call with the same columns; defaults of columns do
    not apply. `supports_concurrent_writers` tells whether several transactions can write at once.
    """

    supports_concurrent_writers: ClassVar[bool]

    def connect(self, url: URL) -> Engine: ...

    def read_only(self, engine: Engine) -> Engine:
        """The same engine, whose transactions see one snapshot and never wait for a writer."""
        ...

    def insert_rows(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """In their order, as fast as the engine takes them."""
        ...

    def insert_or_ignore(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Rows that are already there, by any unique key, stay as they are. The columns' defaults apply."""
        ...

    def add_counts(self, connection: Connection, counted: Column[Any], rows: Sequence[Row]) -> None:
        """Adds to that column of the rows that are there, by their primary key; inserts the others."""
        ...

    def update_rows(
        self, connection: Connection, rows: Sequence[Row], *, by: Column[Any], only: ColumnElement[bool] | None = None
    ) -> None:
        """Sets what each row has beside `by` where that column is equal and `only` holds."""
        ...

    def reserve_numbers(self, connection: Connection, number: Column[Any], count: int) -> Sequence[int]:
        """Numbers for `count` new rows, ascending, that no other transaction gets."""
        ...

    def in_values(self, column: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
        """Whether the column has one of the values, of which there are as many as one likes."""
        ...

    def lock_catalog(self, connection: Connection, *, exclusive: bool) -> None:
        """Waits until this transaction may change the catalog; `exclusive` until no other does."""
        ...

    def lock_feed(self, connection: Connection) -> None:
        """Waits until no other transaction has changes that are not committed, and keeps others from adding some."""
        ...

    def migration_transaction(self, engine: Engine) -> AbstractContextManager[Connection]:
        """A transaction that begins once no other migrates tables, however long that takes, and may take its time."""
        ...

    def is_conflict(self, error: Exception) -> bool:
        """Whether a transaction failed because of another's, and may go through when it is made again."""
        ...

    def is_permanent(self, error: Exception) -> bool:
        """Whether no waiting cures this failure to connect."""
        ...


@lru_cache(maxsize=8)
def dialect_of(engine_name: str) -> Dialect:
    """Of `sqlite` or `postgresql`. Raises ValueError for any other name."""
    # Here, for a service needs one of the two.
    if engine_name == "sqlite":
        from bookwheel_stores.records.database.sqlite import SqliteDialect  # noqa: PLC0415

        return SqliteDialect()
    if engine_name == "postgresql":
        from bookwheel_stores.records.database.postgresql import PostgresqlDialect  # noqa: PLC0415

        return PostgresqlDialect()
    raise ValueError(f"{engine_name}: the records are kept in sqlite or postgresql")
