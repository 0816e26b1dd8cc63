"""The rendered objects of each scenario, and helm. Tests run in the root folder of the repository."""

import pytest
from bookwheel_local.engines import EngineNotInstalledError
from bookwheel_testing.engines import skip_or_raise

from deploy.k8s.tests.manifests import Object
from deploy.k8s.tests.renders import ROOT, SCENARIOS, golden
from tools import chart


@pytest.fixture(autouse=True)
def run_in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(params=SCENARIOS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return golden(request.param)


@pytest.fixture
def helm() -> str:
    """The path of helm. Tests that render the chart are skipped without it."""
    try:
        return chart.helm()
    except EngineNotInstalledError as error:
        skip_or_raise(error)
        raise
