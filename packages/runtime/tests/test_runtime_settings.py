"""Settings from the environment and from files, and errors with the name of the setting."""

from pathlib import Path

import pytest
from bookwheel_runtime.settings import Settings, load_settings
from pydantic import Field


class ExampleSettings(Settings):
    port: int = Field(ge=1, le=65535, description="Where to listen.")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKWHEEL_PORT", "8081")
    assert load_settings(ExampleSettings).port == 8081


@pytest.mark.parametrize("value", [None, "", "x", "0", "70000"])
def test_an_invalid_or_missing_setting_is_named(
    value: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if value is None:
        monkeypatch.delenv("BOOKWHEEL_PORT", raising=False)
    else:
        monkeypatch.setenv("BOOKWHEEL_PORT", value)
    with pytest.raises(SystemExit) as exit_info:
        load_settings(ExampleSettings)
    assert exit_info.value.code == 2
    assert "BOOKWHEEL_PORT" in capsys.readouterr().err


def test_a_file_is_read_if_the_environment_lacks_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOOKWHEEL_PORT", raising=False)
    monkeypatch.setenv("BOOKWHEEL_SECRETS_DIR", str(tmp_path))
    (tmp_path / "BOOKWHEEL_PORT").write_text("8083\n")
    assert load_settings(ExampleSettings).port == 8083
    monkeypatch.setenv("BOOKWHEEL_PORT", "8081")
    assert load_settings(ExampleSettings).port == 8081


def test_a_missing_secrets_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOOKWHEEL_SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as exit_info:
        load_settings(ExampleSettings)
    assert exit_info.value.code == 2
    assert "BOOKWHEEL_SECRETS_DIR" in capsys.readouterr().err
