"""On PostgreSQL, a lease has one holder at a time and ends with the holder's connection."""

import threading
import time
from collections.abc import Iterator

import pytest
from bookwheel_stores.records import connect_database
from bookwheel_stores.records.database.connection import lease
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import OperationalError

HOLDERS = text(
    "SELECT activity.pid, activity.state, activity.backend_xid IS NULL AND activity.backend_xmin IS NULL AS is_light"
    " FROM pg_locks JOIN pg_stat_activity activity USING (pid)"
    " WHERE locktype = 'advisory' AND datname = current_database()"
)


@pytest.fixture
def machines(postgres_url: str) -> Iterator[tuple[Engine, Engine]]:
    """Two engines on the same database."""
    first_machine, second_machine = connect_database(postgres_url), connect_database(postgres_url)
    yield first_machine, second_machine
    first_machine.dispose()
    second_machine.dispose()


def holders(engine: Engine) -> list[tuple[int, str, bool]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(HOLDERS)]


def test_one_machine_has_a_lease_at_a_time(machines: tuple[Engine, Engine]) -> None:
    first_machine, second_machine = machines
    with (
        lease(first_machine, "lake") as first,
        lease(second_machine, "lake") as second,
        lease(second_machine, "another") as third,
    ):
        assert (first, second, third) == (True, False, True)
    with lease(second_machine, "lake") as is_mine:
        assert is_mine
    with pytest.raises(ZeroDivisionError), lease(first_machine, "lake"):
        raise ZeroDivisionError
    with lease(second_machine, "lake") as is_mine:
        assert is_mine


def test_a_lease_is_a_transaction_that_does_not_hold_back_vacuum(
    machines: tuple[Engine, Engine],
) -> None:
    """A session-level lock would stay on a pooled connection of the next client."""
    first_machine, second_machine = machines
    with lease(first_machine, "lake"):
        [(_, state, is_light)] = holders(second_machine)
        assert (state, is_light) == ("idle in transaction", True)
    assert holders(second_machine) == []


def test_a_lease_is_exempt_from_the_idle_transaction_timeout(postgres_url: str) -> None:
    url = make_url(postgres_url).update_query_dict({"options": "-c idle_in_transaction_session_timeout=200ms"})
    engine = connect_database(url.render_as_string(hide_password=False))
    with lease(engine, "lake") as first:
        time.sleep(0.6)
        with lease(engine, "lake") as second:
            assert (first, second) == (True, False)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "200ms"
    engine.dispose()


def test_a_lost_connection_releases_the_lease_and_raises_an_error(machines: tuple[Engine, Engine]) -> None:
    first_machine, second_machine = machines

    def lose() -> None:
        with lease(first_machine, "lake"):
            [(pid, _, _)] = holders(second_machine)
            with second_machine.begin() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
            with lease(second_machine, "lake") as is_theirs:
                assert is_theirs

    with pytest.raises(OperationalError):
        lose()


def test_one_of_many_concurrent_processes_acquires_the_lease(machines: tuple[Engine, Engine]) -> None:
    start, end, acquired = threading.Barrier(8), threading.Barrier(8), []

    def acquire(engine: Engine) -> None:
        start.wait()
        with lease(engine, "lake") as is_mine:
            acquired.append(is_mine)
            end.wait()

    threads = [threading.Thread(target=acquire, args=(machines[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(acquired) == [False] * 7 + [True]
