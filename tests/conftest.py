"""The suites that the end-to-end tests share: one on each set of engines."""

from collections.abc import Iterator

import pytest
from bookwheel_local.engines import JVM_QUICK_START
from bookwheel_local.settings import EngineSet
from bookwheel_testing.engines import require_cluster_engines
from bookwheel_testing.suite_under_test import SuiteUnderTest, free_port_base


@pytest.fixture(scope="session", params=list(EngineSet))
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteUnderTest]:
    """The suite after `make up`, with a smaller shop: the shop is crawled, and the first model is trained."""
    if request.param == EngineSet.CLUSTER:
        require_cluster_engines()
    suite = SuiteUnderTest(
        state=tmp_path_factory.mktemp(f"suite-{request.param}") / "state",
        port_base=free_port_base(),
        books=500,
        settings={
            "BOOKWHEEL_RATE_ADDRESS": "10000",
            "BOOKWHEEL_RATE_SUBJECT": "10000",
            "BOOKWHEEL_ELASTICSEARCH_OPTIONS": JVM_QUICK_START,
            "BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES": "allow",  # start URLs of other shops on loopback
        },
        engines=request.param,
    )
    try:
        suite.up()
        yield suite
    finally:
        suite.down()
