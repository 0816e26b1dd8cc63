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
"""The database rejects a value for good, although it passed validation."""
_EXCLUSIVE = "bookwheel_exclusive"
_MAX_ATTEMPTS, _MAX_SHARED_ATTEMPTS = 10, 3
_LONGEST_CONFLICT_PAUSE = 0.02
_FIRST_WAIT, _LONGEST_WAIT, _LOG_INTERVAL = 0.1, 2.0, 10.0
logger = logging.getLogger(__name__)


def connect_database(url: str) -> Engine:
    """An engine for `sqlite:///path` (its folder is created) or `postgresql://user:password@host:port/database`.

    On PostgreSQL the URL's query may contain libpq's parameters, and `pool_size`, `max_overflow` and `pool_timeout`.
    Raises ValueError for any other engine. Use `read_connection` to read, and `in_transaction` for writes that may
    conflict with other writers.
    """
    address = make_url(url)
    name = address.get_backend_name()
    return _dialect("postgresql" if name == "postgres" else name).connect(address)


def dialect_of(bind: Engine | Connection) -> Dialect:
    return _dialect(bind.dialect.name)


@lru_cache(maxsize=8)
def _dialect(engine_name: str) -> Dialect:
    if engine_name == "sqlite":
        return SqliteDialect()
    if engine_name == "postgresql":
        # Late: psycopg takes 0.2 s to import, which a suite on SQLite would spend in each process.
        from bookwheel_stores.records.database.postgresql import PostgresqlDialect  # noqa: PLC0415

        return PostgresqlDialect()
    raise ValueError(f"the database engine {engine_name} is not supported: use sqlite or postgresql")


def wait_for_database(engine: Engine, *, seconds: float = 60.0) -> None:
    """Waits until a server that is still starting accepts connections.

    Raises OperationalError at the deadline, and at once for a permanent error such as a wrong password.
    """
    deadline = time.monotonic() + seconds
    pause, logged_at = _FIRST_WAIT, -_LOG_INTERVAL
    while True:
        try:
            engine.connect().close()
        except OperationalError as error:
            if time.monotonic() + pause > deadline or dialect_of(engine).is_permanent(error):
                raise
            if time.monotonic() - logged_at >= _LOG_INTERVAL:
                logged_at = time.monotonic()
                logger.warning("waiting for the database: %s", str(error.orig).strip())
            time.sleep(pause)
            pause = min(_LONGEST_WAIT, pause * 2)
        else:
            return


def supports_concurrent_writers(engine: Engine) -> bool:
    return dialect_of(engine).supports_concurrent_writers


def read_only(engine: Engine) -> Engine:
    """The same engine for readers: its transactions see one snapshot and never wait for a writer."""
    return dialect_of(engine).read_only(engine)


@contextmanager
def read_connection(engine: Engine) -> Iterator[Connection]:
    """A connection that reads one consistent snapshot of the records."""
    with read_only(engine).connect() as connection:
        yield connection


@contextmanager
def time_limit(connection: Connection, seconds: float) -> Iterator[None]:
    """Statements of this transaction end with a TimeoutError once they take longer, also in the database."""
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

    Two workers that insert the same new book conflict, for example. After three conflicts the work locks the catalog
    exclusively. Raises SQLAlchemy's errors for any other failure, with everything rolled back.
    """
    is_conflict = dialect_of(engine).is_conflict
    for attempt in range(1, _MAX_ATTEMPTS):
        try:
            return _attempt(engine, work, exclusive=attempt > _MAX_SHARED_ATTEMPTS)
        except DBAPIError as error:
            if not is_conflict(error):
                raise
        time.sleep(random.uniform(0, _LONGEST_CONFLICT_PAUSE))  # noqa: S311 - no secret
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

    So sequences become visible in their order. Without the lock one transaction could take sequence 7 and another 8;
    a reader that saw 8 first would never look for 7.
    """
    dialect_of(connection).lock_feed(connection)


def lease(engine: Engine, name: str) -> AbstractContextManager[bool]:
    """A lock on a task among all machines that share the records; yields whether this process holds it.

    The database releases it however the process ends. On SQLite it is always acquired: all processes are on one
    machine and use process locks. Raises OperationalError at the end if the connection was lost meanwhile: another
    process may hold the lease then.
    """
    return dialect_of(engine).try_lease(engine, name)
