"""Tables, migrations and transactions of the database, also with several processes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from bookwheel_stores.records import connect_database, is_current, read_connection, upgrade_database
from bookwheel_stores.records.database.schema import RECORDS
from bookwheel_stores.records.tables import metadata, observation, projection
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError


def test_the_migrations_create_the_declared_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        options = {"version_table": RECORDS.version_table, "compare_type": False}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()


def test_the_newest_revision_is_the_expected_one() -> None:
    config = Config()
    config.set_main_option("script_location", RECORDS.migrations)
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == RECORDS.head


def test_a_repeated_upgrade_changes_nothing(records_url: str) -> None:
    engine = connect_database(records_url)
    assert not is_current(engine)
    upgrade_database(engine)
    upgrade_database(engine)
    assert is_current(engine)
    engine.dispose()


def test_several_processes_can_upgrade_concurrently(records_url: str) -> None:
    engines = [connect_database(records_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(upgrade_database, engines))
    assert is_current(engines[0])
    for engine in engines:
        engine.dispose()


def test_concurrent_writers_wait_even_if_they_read_first(engine: Engine) -> None:
    """With deferred transactions of SQLite, a write would fail if the snapshot is outdated."""

    def increment(_: int) -> None:
        with engine.begin() as connection:
            value = connection.scalar(select(projection.c.sequence).where(projection.c.name == "n").with_for_update())
            connection.execute(projection.update().values(sequence=(value or 0) + 1))

    with engine.begin() as connection:
        connection.execute(insert(projection), {"name": "n", "sequence": 0})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(40)))
    with read_connection(engine) as connection:
        assert connection.scalar(select(projection.c.sequence)) == 40
    engine.dispose()


def test_a_reader_does_not_wait_for_a_writer_and_reads_one_snapshot(engine: Engine) -> None:
    written, read = threading.Event(), threading.Event()

    def write() -> None:
        with engine.begin() as connection:
            connection.execute(insert(projection), {"name": "n", "sequence": 1})
            written.set()
            read.wait(10)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        assert written.wait(10)
        with read_connection(engine) as connection:
            assert connection.execute(select(projection)).all() == []
            read.set()
            writing.result(10)
            assert connection.execute(select(projection)).all() == [], "one snapshot"
    with read_connection(engine) as connection:
        assert len(connection.execute(select(projection)).all()) == 1
    engine.dispose()


def test_foreign_keys_are_enforced(engine: Engine) -> None:
    row = {"offer_number": 99, "observed_at": 1, "in_stock": True}
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(observation), row)
    engine.dispose()
