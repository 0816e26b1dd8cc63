"""Each scenario's objects, and helm where it is there. Tests run at the root of the repository."""

import pytest
from bookwheel_local.engines import EngineNotInstalledError
from bookwheel_testing.engines import skip_or_raise

from deploy.k8s.tests.manifests import Object
from deploy.k8s.tests.renders import ROOT, SCENARIOS, golden
from tools import chart


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(params=SCENARIOS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return golden(request.param)


@pytest.fixture
def helm() -> str:
    """Where it is missing, what was rendered is tested, but not that it would be rendered so again."""
    try:
        return chart.helm()
    except EngineNotInstalledError as missing:
        skip_or_raise(missing)
        raise
