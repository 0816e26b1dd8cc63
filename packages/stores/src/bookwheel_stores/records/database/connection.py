"""Connects to the records' database and runs transactions."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TypeVar

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bookwheel_stores.records.database.dialect import Dialect
from bookwheel_stores.records.database.sqlite import SqliteDialect

T = TypeVar("T")
DATABASE_ERRORS = (OperationalError, InterfaceError, ProgrammingError, PoolTimeoutError)
"""The database is unavailable: no connection, a full disk, or a table that does not exist (yet)."""
CONTENT_ERRORS = (DataError, IntegrityError, UnicodeEncodeError, OverflowError)
"""The database rejects a value permanently, although the value passed validation."""
_EXCLUSIVE = "bookwheel_exclusive"
_MAX_ATTEMPTS, _MAX_SHARED_ATTEMPTS = 10, 3
_MAX_CONFLICT_DELAY = 0.02
_INITIAL_DELAY, _MAX_DELAY, _LOG_INTERVAL = 0.1, 2.0, 10.0
logger = logging.getLogger(__name__)


def connect_database(url: str) -> Engine:
    """Returns an engine for `sqlite:///path` or `postgresql://user:password@host:port/database`. Creates the folder.

    For PostgreSQL, the query of the URL may contain libpq's parameters, and `pool_size`, `max_overflow` and
    `pool_timeout`. Raises ValueError for any other engine. Use `read_connection` to read, and `in_transaction` for
    writes that may conflict with other writers.
    """
    parsed_url = make_url(url)
    name = parsed_url.get_backend_name()
    return _dialect("postgresql" if name == "postgres" else name).connect(parsed_url)


def dialect_of(bind: Engine | Connection) -> Dialect:
    return _dialect(bind.dialect.name)


@lru_cache(maxsize=8)
def _dialect(engine_name: str) -> Dialect:
    if engine_name == "sqlite":
        return SqliteDialect()
    if engine_name == "postgresql":
        # Imported on demand: the import of psycopg takes 0.2 s, and processes on SQLite do not need it.
        from bookwheel_stores.records.database.postgresql import PostgresqlDialect  # noqa: PLC0415

        return PostgresqlDialect()
    raise ValueError(f"the database engine {engine_name} is not supported: use sqlite or postgresql")


def wait_for_database(engine: Engine, *, seconds: float = 60.0) -> None:
    """Waits until a server that is still starting accepts connections.

    Raises OperationalError at the deadline, or immediately for a permanent error such as a wrong password.
    """
    deadline = time.monotonic() + seconds
    delay, logged_at = _INITIAL_DELAY, -_LOG_INTERVAL
    while True:
        try:
            engine.connect().close()
        except OperationalError as error:
            if time.monotonic() + delay > deadline or dialect_of(engine).is_permanent(error):
                raise
            if time.monotonic() - logged_at >= _LOG_INTERVAL:
                logged_at = time.monotonic()
                logger.warning("waiting for the database: %s", str(error.orig).strip())
            time.sleep(delay)
            delay = min(_MAX_DELAY, delay * 2)
        else:
            return


def supports_concurrent_writers(engine: Engine) -> bool:
    return dialect_of(engine).supports_concurrent_writers


def read_only(engine: Engine) -> Engine:
    """Returns the engine for readers. Each transaction reads one snapshot and does not wait for writers."""
    return dialect_of(engine).read_only(engine)


@contextmanager
def read_connection(engine: Engine) -> Iterator[Connection]:
    """Yields a connection that reads one consistent snapshot of the records."""
    with read_only(engine).connect() as connection:
        yield connection


@contextmanager
def time_limit(connection: Connection, seconds: float) -> Iterator[None]:
    """Limits the time of statements in this transaction. Raises TimeoutError and cancels the statement."""
    deadline = time.monotonic() + seconds
    with dialect_of(connection).time_limit(connection, seconds):
        try:
            yield
        except OperationalError as error:
            if time.monotonic() < deadline:
                raise
            raise TimeoutError(f"the query took longer than {seconds:g} s") from error


def in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Runs `work` in one transaction and repeats it after a conflict with a concurrent transaction.

    For example, two workers that insert the same new book conflict. After three conflicts, the work locks the catalog
    exclusively. Any other error of SQLAlchemy is raised after a rollback.
    """
    is_conflict = dialect_of(engine).is_conflict
    for attempt in range(1, _MAX_ATTEMPTS):
        try:
            return _attempt(engine, work, exclusive=attempt > _MAX_SHARED_ATTEMPTS)
        except DBAPIError as error:
            if not is_conflict(error):
                raise
        time.sleep(random.uniform(0, _MAX_CONFLICT_DELAY))  # noqa: S311 - no secret
    return _attempt(engine, work, exclusive=True)


def _attempt(engine: Engine, work: Callable[[Connection], T], *, exclusive: bool) -> T:
    with engine.execution_options(**{_EXCLUSIVE: exclusive}).begin() as connection:
        return work(connection)


def lock_catalog(connection: Connection, *, exclusive: bool) -> None:
    """Locks books and offers before a transaction changes them."""
    is_exclusive = exclusive or connection.get_execution_options().get(_EXCLUSIVE, False)
    dialect_of(connection).lock_catalog(connection, exclusive=is_exclusive)


def lock_feed(connection: Connection) -> None:
    """Locks the end of the change feed before a transaction appends to it.

    Sequences therefore become visible in ascending order. Without the lock, a transaction with sequence 8 could commit
    before a transaction with sequence 7, and a reader that has read 8 would skip 7.
    """
    dialect_of(connection).lock_feed(connection)


def lease(engine: Engine, name: str) -> AbstractContextManager[bool]:
    """Tries to acquire a lease. Only one machine can hold it. Yields whether it is acquired.

    The database releases it when the process ends for any reason. On SQLite it is always acquired, because all
    processes run on one machine and use process locks. If the connection was lost, it raises OperationalError at the
    end, because another process may have acquired the lease.
    """
    return dialect_of(engine).try_lease(engine, name)
