"""Wrong settings stop a process at once, each with its name."""

import pytest
from bookwheel_runtime.settings import Settings, load_settings
from pydantic import Field


class ExampleSettings(Settings):
    port: int = Field(ge=1, le=65535, description="Where to listen.")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKWHEEL_PORT", "8081")
    assert load_settings(ExampleSettings).port == 8081


@pytest.mark.parametrize("value", [None, "", "x", "0", "70000"])
def test_a_wrong_or_missing_setting_is_named(
    value: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if value is None:
        monkeypatch.delenv("BOOKWHEEL_PORT", raising=False)
    else:
        monkeypatch.setenv("BOOKWHEEL_PORT", value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(ExampleSettings)
    assert stopped.value.code == 2
    assert "BOOKWHEEL_PORT" in capsys.readouterr().err
