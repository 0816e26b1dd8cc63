"""A lease has one holder among all who share a PostgreSQL, and ends with its holder."""

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
    """Two that share the records."""
    one, other = connect_database(postgres_url), connect_database(postgres_url)
    yield one, other
    one.dispose()
    other.dispose()


def holders(engine: Engine) -> list[tuple[int, str, bool]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(HOLDERS)]


def test_one_machine_has_a_lease_at_a_time(machines: tuple[Engine, Engine]) -> None:
    one, other = machines
    with lease(one, "lake") as first, lease(other, "lake") as second, lease(other, "another") as third:
        assert (first, second, third) == (True, False, True)
    with lease(other, "lake") as is_mine:
        assert is_mine
    with pytest.raises(ZeroDivisionError), lease(one, "lake"):
        raise ZeroDivisionError
    with lease(other, "lake") as is_mine:
        assert is_mine


def test_a_lease_is_of_one_transaction_that_keeps_no_rows_from_being_vacuumed(
    machines: tuple[Engine, Engine],
) -> None:
    """A lock of a session would stay behind on the connection that a pooler gives to the next client."""
    one, other = machines
    with lease(one, "lake"):
        [(_, state, is_light)] = holders(other)
        assert (state, is_light) == ("idle in transaction", True)
    assert holders(other) == []


def test_a_lease_outlasts_the_patience_with_idle_transactions(postgres_url: str) -> None:
    impatient = make_url(postgres_url).update_query_dict({"options": "-c idle_in_transaction_session_timeout=200ms"})
    engine = connect_database(impatient.render_as_string(hide_password=False))
    with lease(engine, "lake") as first:
        time.sleep(0.6)
        with lease(engine, "lake") as second:
            assert (first, second) == (True, False)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "200ms"
    engine.dispose()


def test_whoever_loses_the_connection_loses_the_lease_and_is_told(machines: tuple[Engine, Engine]) -> None:
    one, other = machines

    def lose() -> None:
        with lease(one, "lake"):
            [(pid, _, _)] = holders(other)
            with other.begin() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
            with lease(other, "lake") as is_theirs:
                assert is_theirs

    with pytest.raises(OperationalError):
        lose()


def test_of_many_who_want_it_at_once_one_gets_it(machines: tuple[Engine, Engine]) -> None:
    start, end, got = threading.Barrier(8), threading.Barrier(8), []

    def want(engine: Engine) -> None:
        start.wait()
        with lease(engine, "lake") as is_mine:
            got.append(is_mine)
            end.wait()

    threads = [threading.Thread(target=want, args=(machines[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 7 + [True]
