import pytest
from bookwheel_local.engine_selection import EngineSelection
from bookwheel_local.environment import suite_environment
from bookwheel_local.layout import Layout
from bookwheel_local.secrets import Secrets
from bookwheel_local.settings import LocalSettings

PRIVATE_ADDRESSES = ("BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES", "BOOKWHEEL_WEBHOOK_PRIVATE_ADDRESSES")


def environment(layout: Layout) -> dict[str, str]:
    settings = LocalSettings(state_dir=layout.state_dir, port_base=layout.ports.gateway)
    return suite_environment(layout, settings, EngineSelection(), Secrets(layout.secrets))


def test_the_address_checks_are_on_by_default(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PRIVATE_ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    assert not set(PRIVATE_ADDRESSES) & environment(layout).keys()


@pytest.mark.parametrize("name", PRIVATE_ADDRESSES)
@pytest.mark.parametrize("value", ["allow", "deny"])
def test_the_operators_address_checks_are_passed_on(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert environment(layout)[name] == value
