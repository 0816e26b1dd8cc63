"""Empty records for tests. Each test runs on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bookwheel_stores.records import connect_database, upgrade_database
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from bookwheel_testing.engines import Postgres

RECORDS_ENGINES = ("sqlite", "postgresql")
_MAX_DATABASES = 4
"""Limit of `new_engine`, because PostgreSQL's connections and disk space are limited."""


@pytest.fixture(params=RECORDS_ENGINES)
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'bookwheel.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session", params=RECORDS_ENGINES)
def new_engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Engine]]:
    """Returns a function that creates empty records. Only the last four remain usable.

    Engines are reused with a new database under the same URL, because compiling statements takes most of a small test.
    """
    with ExitStack() as stack:
        if request.param == "sqlite":
            copies: Iterator[Database] = _sqlite_copies(tmp_path_factory.mktemp("records"))
        else:
            copies = _postgresql_copies(request.getfixturevalue("postgres"), stack)
        databases: list[tuple[Engine, Database]] = []

        def create() -> Engine:
            if len(databases) < _MAX_DATABASES:
                copy = next(copies)
                engine = connect_database(copy.url)
                if request.param == "sqlite":
                    event.listen(engine, "connect", _disable_sync)
            else:
                engine, copy = databases.pop(0)
                engine.dispose()
            copy.recreate()
            databases.append((engine, copy))
            return engine

        yield create
        for engine, _ in databases:
            engine.dispose()


@pytest.fixture
def engine(new_engine: Callable[[], Engine]) -> Engine:
    """Empty records."""
    return new_engine()


@contextmanager
def rejecting_inserts(engine: Engine, table: str, *, title: str | None = None) -> Iterator[None]:
    """Makes inserts fail as on a full disk. With `title`, only the row with that title fails."""
    is_sqlite = engine.dialect.name == "sqlite"
    if title is None and is_sqlite:  # a trigger of SQLite cannot raise the error of a full disk
        event.listen(engine, "before_cursor_execute", reject := _rejection(table))
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", reject)
        return
    create, drop = (
        (_SQLITE_TRIGGER, "DROP TRIGGER reject_insert") if is_sqlite else (_POSTGRESQL_TRIGGER, _DROP_FUNCTION)
    )
    when = "" if title is None else f"WHEN (NEW.title = '{title}')"
    code = "disk_full" if title is None else "check_violation"
    with engine.begin() as connection:
        for statement in create:
            connection.execute(text(statement.format(table=table, when=when, code=code)))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text(drop))


_SQLITE_TRIGGER = (
    "CREATE TRIGGER reject_insert BEFORE INSERT ON {table} {when} BEGIN SELECT RAISE(ABORT, 'rejected'); END",
)
_RAISE = "BEGIN RAISE EXCEPTION 'rejected' USING ERRCODE = '{code}'; END"
_POSTGRESQL_TRIGGER = (
    f"CREATE FUNCTION reject_insert() RETURNS trigger LANGUAGE plpgsql AS $$ {_RAISE} $$",
    "CREATE TRIGGER reject_insert BEFORE INSERT ON {table} FOR EACH ROW {when} EXECUTE FUNCTION reject_insert()",
)
_DROP_FUNCTION = "DROP FUNCTION reject_insert CASCADE"


def _rejection(table: str) -> Callable[..., None]:
    def reject(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(f"INSERT INTO {table} "):
            raise OperationalError(statement, {}, Exception("database or disk is full"))

    return reject


def _disable_sync(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")  # tests create hundreds of databases and need no durability


class Database(NamedTuple):
    """The URL of a database; `recreate` replaces it with an empty database that has the tables."""

    url: str
    recreate: Callable[[], None]


def _sqlite_copies(folder: Path) -> Iterator[Database]:
    template = folder / "template.sqlite"
    _prepare(f"sqlite:///{template}")
    for number in count():
        path = folder / f"{number}.sqlite"
        yield Database(f"sqlite:///{path}", partial(_recreate_file, template, path))


def _recreate_file(template: Path, path: Path) -> None:
    for stale in path.parent.glob(f"{path.name}*"):
        stale.unlink()
    shutil.copy(template, path)


def _postgresql_copies(server: Postgres, stack: ExitStack) -> Iterator[Database]:
    template = stack.enter_context(server.database())
    _prepare(template)
    while True:
        url = stack.enter_context(server.database())
        yield Database(url, partial(server.recreate_database, url.rpartition("/")[2], template.rpartition("/")[2]))


def _prepare(url: str) -> None:
    engine = connect_database(url)
    upgrade_database(engine)
    engine.dispose()
