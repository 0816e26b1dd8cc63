"""The database operations that differ between SQLite and PostgreSQL."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Executable, Table

Row = dict[str, Any]
"""A row of a table as a dictionary by column name."""


class Dialect(Protocol):
    """An interface for database operations. All rows of a call must have the same columns. An empty batch is allowed.

    `supports_concurrent_writers`: whether several transactions can write at the same time. `insert`: the function of
    SQLAlchemy that returns the engine's INSERT with ON CONFLICT.
    """

    supports_concurrent_writers: ClassVar[bool]
    insert: ClassVar[Any]

    def connect(self, url: URL) -> Engine: ...

    def read_only(self, engine: Engine) -> Engine:
        """Returns the engine with transactions that read one snapshot and do not wait for writers."""

    def time_limit(self, connection: Connection, seconds: float) -> AbstractContextManager[None]:
        """Limits the time of statements in the block. They raise OperationalError after `seconds`."""

    def insert_rows(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Inserts rows in their order with the fastest method of the driver. Column defaults do not apply."""

    def new_ids(self, connection: Connection, id_column: Column[Any], count: int) -> Sequence[int]:
        """Returns ascending unused ids."""

    def insert_returning_ids(self, connection: Connection, id_column: Column[Any], rows: Sequence[Row]) -> list[int]:
        """Inserts rows without an id. Returns their new ids, which ascend in the order of the rows."""
        ids = list(self.new_ids(connection, id_column, len(rows))) if rows else []
        rows_with_ids = [row | {id_column.name: value} for row, value in zip(rows, ids, strict=True)]
        self.insert_rows(connection, id_column.table, rows_with_ids)
        return ids

    def insert_or_ignore(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Inserts rows. An existing row with the same unique key is not changed. Column defaults apply.

        Several rows must be in the order of a unique key, otherwise two transactions can deadlock.
        """
        if rows:
            connection.execute(self.insert(table).on_conflict_do_nothing(), rows)

    def increment_counts(self, connection: Connection, counter: Column[Any], rows: Sequence[Row]) -> None:
        """Adds the count of each row to the existing row with the same primary key, or inserts the row."""
        if rows:
            connection.execute(self._increment_statement(counter), rows)

    @classmethod
    @lru_cache(maxsize=16)
    def _increment_statement(cls, counter: Column[Any]) -> Executable:
        statement = cls.insert(counter.table)
        sums = {counter.name: counter + statement.excluded[counter.name]}
        upsert: Executable = statement.on_conflict_do_update(index_elements=list(counter.table.primary_key), set_=sums)
        return upsert

    def update_rows(
        self,
        connection: Connection,
        rows: Sequence[Row],
        *,
        key_column: Column[Any],
        condition: ColumnElement[bool] | None = None,
    ) -> None:
        """Updates the table's row of each of `rows`, identified by `key_column`, if it meets the condition."""

    def in_values(self, column: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
        """Returns an `IN` expression for up to ten thousand values."""

    def lock_catalog(self, connection: Connection, *, exclusive: bool) -> None:
        """Locks books and offers for this transaction in shared or exclusive mode."""

    def lock_feed(self, connection: Connection) -> None:
        """Locks the end of the change feed for this transaction."""

    def migration_transaction(self, engine: Engine) -> AbstractContextManager[Connection]:
        """Yields a transaction without time limits. It starts when no other migration is running."""

    def try_lease(self, engine: Engine, name: str) -> AbstractContextManager[bool]:
        """Tries to acquire a lease. Yields whether it is acquired. See `lease` in the module `connection`."""

    def is_conflict(self, error: Exception) -> bool:
        """Returns whether a transaction failed because of a concurrent transaction and may succeed if repeated."""

    def is_permanent(self, error: Exception) -> bool:
        """Returns whether another attempt to connect would also fail, for example because of a wrong password."""
