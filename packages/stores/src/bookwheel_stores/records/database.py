"""Connects to the records' database and brings its tables to their current form."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url

VERSION_TABLE = "records_version"
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


def upgrade_database(engine: Engine) -> None:
    """Applies the revisions that are missing. Idempotent, and safe when two processes start at once."""
    if is_current(engine):
        return
    config = _alembic()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(engine: Engine) -> bool:
    """Whether the tables have the form that this code expects."""
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision() == ScriptDirectory.from_config(_alembic()).get_current_head()


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "bookwheel_stores.records:migrations")
    config.set_main_option("path_separator", "os")
    return config


def _prepare_sqlite(connection: SqliteConnection, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_sqlite` does
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    is_reader = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if is_reader else "BEGIN IMMEDIATE")
