"""Connects to the records' database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url

_READ_ONLY = "bookwheel_read_only"

# FULL: what is committed is acknowledged in Redis right after it, so it must outlive a power cut.
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "busy_timeout=30000",
    "foreign_keys=ON",
    "cache_size=-65536",
    "temp_store=MEMORY",
    "wal_autocheckpoint=4000",
)


def connect_database(url: str) -> Engine:
    """An engine for `sqlite:///path` (its folder is made) or any other URL that SQLAlchemy takes.

    On SQLite a transaction takes the write lock when it begins, waiting up to 30 s for it: one that reads first and
    writes later could otherwise fail half-way, without any waiting. Use `read_only` for those that never write.
    """
    address = make_url(url)
    if address.get_backend_name() != "sqlite":
        return create_engine(address, pool_pre_ping=True)
    if address.database and address.database != ":memory:":
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(address)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def read_only(engine: Engine) -> Engine:
    """The same engine for readers: its transactions see one snapshot and never wait for a writer."""
    return engine.execution_options(**{_READ_ONLY: True})


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection with one consistent snapshot of the records."""
    with read_only(engine).connect() as connection:
        yield connection


def _prepare_sqlite(connection: SqliteConnection, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_sqlite` does
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    is_reader = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if is_reader else "BEGIN IMMEDIATE")
