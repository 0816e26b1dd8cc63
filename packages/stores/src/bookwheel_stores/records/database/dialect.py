"""The port behind which SQLite and PostgreSQL differ."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Table

Row = dict[str, Any]
"""A table's row as a dictionary by column name."""


class Dialect(Protocol):
    """All rows of a call have the same columns; an empty batch does nothing.

    `supports_concurrent_writers`: whether several transactions can write at the same time.
    """

    supports_concurrent_writers: ClassVar[bool]

    def connect(self, url: URL) -> Engine: ...

    def read_only(self, engine: Engine) -> Engine:
        """The same engine with transactions that see one snapshot and never wait for a writer."""
        ...

    def time_limit(self, connection: Connection, seconds: float) -> AbstractContextManager[None]:
        """Statements inside raise OperationalError once `seconds` have passed."""
        ...

    def insert_rows(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Inserts rows in their order by the fastest path of the driver. Column defaults do not apply."""
        ...

    def insert_numbered(self, connection: Connection, number: Column[Any], rows: Sequence[Row]) -> list[int]:
        """Inserts rows without a `number`; returns their new numbers, ascending, in the rows' order."""
        ...

    def insert_or_ignore(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Inserts rows; an existing row with an equal unique key stays as it is. Column defaults apply.

        Pass several rows in the order of a unique key: otherwise two transactions can deadlock.
        """
        ...

    def add_counts(self, connection: Connection, counter: Column[Any], rows: Sequence[Row]) -> None:
        """Adds each row's count to the existing row with the same primary key, or inserts the row."""
        ...

    def update_rows(
        self, connection: Connection, rows: Sequence[Row], *, by: Column[Any], only: ColumnElement[bool] | None = None
    ) -> None:
        """Sets each row's columns where the column `by` is equal and `only` holds."""
        ...

    def in_values(self, column: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
        """`IN` for up to ten thousand values."""
        ...

    def lock_catalog(self, connection: Connection, *, exclusive: bool) -> None:
        """Locks books and offers for this transaction, shared with other writers or `exclusive`."""
        ...

    def lock_feed(self, connection: Connection) -> None:
        """Locks the end of the change feed for this transaction."""
        ...

    def migration_transaction(self, engine: Engine) -> AbstractContextManager[Connection]:
        """A transaction without time limits that starts after any other migration has ended."""
        ...

    def try_lease(self, engine: Engine, name: str) -> AbstractContextManager[bool]:
        """See `connection.lease`."""
        ...

    def is_conflict(self, error: Exception) -> bool:
        """Whether a transaction failed because of a concurrent one and may succeed when repeated."""
        ...

    def is_permanent(self, error: Exception) -> bool:
        """Whether a failure to connect cannot be cured by waiting."""
        ...
