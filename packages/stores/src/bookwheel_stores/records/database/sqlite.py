"""SQLite: one file, one writer at a time, any number of concurrent readers."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any, ClassVar

from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy import Dialect as SqlalchemyDialect
from sqlalchemy.dialects import sqlite

from bookwheel_stores.records.database.dialect import Dialect, Row

_READ_ONLY = "bookwheel_read_only"

# FULL: entries are acknowledged in Redis after the commit, so the commit must survive a power failure.
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "busy_timeout=30000",
    "foreign_keys=ON",
    "cache_size=-65536",
    "temp_store=MEMORY",
    "wal_autocheckpoint=4000",
)
_MIGRATION_TIMEOUT_MS = 86_400_000
_STEPS_BETWEEN_CHECKS = 10_000
"""Instructions of the virtual machine of SQLite: about 0.1 ms."""


class SqliteDialect(Dialect):
    """A writing transaction acquires the write lock at its beginning and waits up to 30 s for it.

    Otherwise a transaction that first reads and then writes could fail without waiting. Writers therefore never
    conflict.
    """

    supports_concurrent_writers: ClassVar[bool] = False
    insert: ClassVar[Any] = staticmethod(sqlite.insert)

    def connect(self, url: URL) -> Engine:
        if url.database and url.database != ":memory:":
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def read_only(self, engine: Engine) -> Engine:
        return engine.execution_options(**{_READ_ONLY: True})

    @contextmanager
    def time_limit(self, connection: Connection, seconds: float) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection
        deadline = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_CHECKS)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)

    def insert_rows(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Compiles the statement once and passes the rows to the driver.

        executemany of SQLAlchemy needs 15 µs per row to process parameters, as long as the insert itself.
        """
        if not rows:
            return
        statement, values_of_row = _compiled_insert(connection.dialect, table, tuple(rows[0]))
        connection.exec_driver_sql(statement, [values_of_row(row) for row in rows])

    def new_ids(self, connection: Connection, id_column: Column[Any], count: int) -> Sequence[int]:
        last = connection.scalar(select(func.max(id_column))) or 0
        return range(last + 1, last + 1 + count)

    def update_rows(
        self,
        connection: Connection,
        rows: Sequence[Row],
        *,
        key_column: Column[Any],
        condition: ColumnElement[bool] | None = None,
    ) -> None:
        if not rows:
            return
        columns: Row = {name: bindparam(name) for name in rows[0] if name != key_column.name}
        statement = update(key_column.table).where(key_column == bindparam("key_value")).values(columns)
        if condition is not None:
            statement = statement.where(condition)
        parameters = [{"key_value" if name == key_column.name else name: row[name] for name in row} for row in rows]
        connection.execute(statement, parameters)

    def in_values(self, column: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
        return column.in_(list(values))

    def lock_catalog(self, connection: Connection, *, exclusive: bool) -> None:
        """Every writer is exclusive."""

    def lock_feed(self, connection: Connection) -> None:
        """Every writer is exclusive."""

    @contextmanager
    def migration_transaction(self, engine: Engine) -> Iterator[Connection]:
        """Increases the busy timeout, because a migration of many rows takes longer."""
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            [busy_timeout] = driver.execute("PRAGMA busy_timeout").fetchone()
            driver.execute(f"PRAGMA busy_timeout={_MIGRATION_TIMEOUT_MS}")
            try:
                with connection.begin():
                    yield connection
            finally:
                driver.execute(f"PRAGMA busy_timeout={busy_timeout}")

    def try_lease(self, engine: Engine, name: str) -> AbstractContextManager[bool]:  # noqa: ARG002 - one machine
        return nullcontext(enter_result=True)

    def is_conflict(self, error: Exception) -> bool:  # noqa: ARG002 - every writer is exclusive
        return False

    def is_permanent(self, error: Exception) -> bool:  # noqa: ARG002 - errors of files are permanent
        return True


def _prepare(connection: SqliteConnection, _record: Any) -> None:
    connection.isolation_level = None  # disables implicit transactions: `_begin` starts them
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    is_reader = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if is_reader else "BEGIN IMMEDIATE")


@lru_cache(maxsize=256)
def _compiled_insert(
    dialect: SqlalchemyDialect, table: Table, columns: tuple[str, ...]
) -> tuple[str, Callable[[Row], Any]]:
    compiled = insert(table).compile(dialect=dialect, column_keys=list(columns))
    names = list(compiled.positiontup or ())
    return str(compiled), itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
