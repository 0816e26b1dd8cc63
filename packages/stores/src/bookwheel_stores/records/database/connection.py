"""Connects to the records' database, and makes its transactions."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from bookwheel_stores.records.database.dialect import dialect_of

T = TypeVar("T")
DATABASE_ERRORS = (OperationalError, InterfaceError, ProgrammingError, PoolExhausted)
"""What either engine raises where its server does not answer, its disk is full, or a table is not there (yet)."""
CONTENT_ERRORS = (DataError, IntegrityError, UnicodeEncodeError, OverflowError)
"""What no waiting cures: a text or number that the engine does not take, though the rules let it pass."""
_EXCLUSIVE = "bookwheel_exclusive"
_ATTEMPTS, _POLITE_ATTEMPTS = 10, 3
_LONGEST_PAUSE = 0.02
_FIRST_WAIT, _LONGEST_WAIT, _TOLD_EVERY = 0.1, 2.0, 10.0
_log = logging.getLogger(__name__)


def connect_database(url: str) -> Engine:
    """An engine for `sqlite:///path` (its folder is made) or `postgresql://user:password@host:port/database`.

    On PostgreSQL the URL's query may hold libpq's parameters, and `pool_size`, `max_overflow` and `pool_timeout`.
    Raises ValueError for any other engine. Use `read_connection` for reads, and `in_transaction` for writes that may
    conflict with other writers.
    """
    address = make_url(url)
    name = address.get_backend_name()
    return dialect_of("postgresql" if name == "postgres" else name).connect(address)


def wait_for_database(engine: Engine, *, seconds: float = 60.0) -> None:
    """Until a server that is still starting answers; the log tells of it now and then. Raises OperationalError where it
    does not in time, or never will: a wrong password is not cured by waiting."""
    deadline = time.monotonic() + seconds
    pause, told = _FIRST_WAIT, -_TOLD_EVERY
    while True:
        try:
            engine.connect().close()
        except OperationalError as error:
            if time.monotonic() + pause > deadline or dialect_of(engine.dialect.name).is_permanent(error):
                raise
            if time.monotonic() - told >= _TOLD_EVERY:
                told = time.monotonic()
                _log.warning("waiting for the database: %s", str(error.orig).strip())
            time.sleep(pause)
            pause = min(_LONGEST_WAIT, pause * 2)
        else:
            return


def supports_concurrent_writers(engine: Engine) -> bool:
    """Whether several transactions can write at once."""
    return dialect_of(engine.dialect.name).supports_concurrent_writers


def read_only(engine: Engine) -> Engine:
    """The same engine for readers: its transactions see one snapshot and never wait for a writer."""
    return dialect_of(engine.dialect.name).read_only(engine)


@contextmanager
def read_connection(engine: Engine) -> Iterator[Connection]:
    """A connection with one consistent snapshot of the records."""
    with read_only(engine).connect() as connection:
        yield connection


def in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Does the work in one transaction, and once more from its beginning where another transaction got in its way.

    That is no failure: two workers met a new book at the same moment. After three such meetings the work has the
    catalog for itself. Raises SQLAlchemy's errors for all else, with nothing done.
    """
    collides = dialect_of(engine.dialect.name).is_conflict
    for attempt in range(1, _ATTEMPTS):
        try:
            return _attempt(engine, work, exclusive=attempt > _POLITE_ATTEMPTS)
        except DBAPIError as error:
            if not collides(error):
                raise
        time.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 - no secret
    return _attempt(engine, work, exclusive=True)


def _attempt(engine: Engine, work: Callable[[Connection], T], *, exclusive: bool) -> T:
    with engine.execution_options(**{_EXCLUSIVE: exclusive}).begin() as connection:
        return work(connection)


def lock_catalog(connection: Connection, *, exclusive: bool) -> None:
    """Before a transaction changes books or offers: see `Dialect.lock_catalog`."""
    is_exclusive = exclusive or connection.get_execution_options().get(_EXCLUSIVE, False)
    dialect_of(connection.dialect.name).lock_catalog(connection, exclusive=is_exclusive)
