"""The suite that the end-to-end tests share."""

from collections.abc import Iterator

import pytest
from bookwheel_testing.suite import Suite, free_port_base


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite as `make up` leaves it: the demo shop crawled, a first model trained."""
    suite = Suite(
        state=tmp_path_factory.mktemp("suite") / "state",
        port_base=free_port_base(),
        books=1000,
        settings={"BOOKWHEEL_RATE_ADDRESS": "10000", "BOOKWHEEL_RATE_SUBJECT": "10000"},
    )
    try:
        suite.up()
        yield suite
    finally:
        suite.down()
