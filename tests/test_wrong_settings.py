"""An invalid or missing setting ends a program immediately. The error has its name and the expected value."""

import importlib
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from bookwheel_runtime.settings import Settings, load_settings

from tools.settings_page import settings_modules, variable

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = (
    "bookwheel-accounts serve",
    "bookwheel-accounts migrate",
    "bookwheel-catalog serve",
    "bookwheel-local up",
    "bookwheel-ml serve",
    "bookwheel-ml worker",
    "bookwheel-processor beat",
    "bookwheel-processor migrate",
    "bookwheel-processor worker",
    "bookwheel-scraper serve",
)


def settings_classes() -> list[type[Settings]]:
    modules = [importlib.import_module(name) for name in settings_modules(ROOT)]
    classes = {item for module in modules for item in vars(module).values() if isinstance(item, type)}
    return sorted((item for item in classes if issubclass(item, Settings)), key=lambda item: item.__name__)


def settings_of(settings_class: type[Settings]) -> dict[str, Any]:
    return {variable(name, field): field for name, field in settings_class.model_fields.items()}


@pytest.fixture(autouse=True)
def unset_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {name for settings_class in settings_classes() for name in settings_of(settings_class)}:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """A program's `main` may change the handler of SIGPIPE, which would affect later tests."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)


def load_error(capsys: pytest.CaptureFixture[str], settings_class: type[Settings]) -> str:
    with pytest.raises(SystemExit) as exit_info:
        load_settings(settings_class)
    assert exit_info.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("settings_class", settings_classes(), ids=lambda settings_class: settings_class.__name__)
def test_every_setting_with_a_format_rejects_another_format(
    settings_class: type[Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    types_without_format = {"str", "Path", "Path | None", "pathlib.Path | None", "SecretStr | None"}
    for name, field in settings_of(settings_class).items():
        is_url = name.endswith(("_URL", "_URI", "_ENDPOINT"))
        type_name = getattr(field.annotation, "__name__", str(field.annotation)).replace("pathlib._local.", "")
        if (
            not is_url
            and not field.metadata
            and (type_name in types_without_format or "SecretStr" in type_name or "Path" in type_name)
        ):
            continue
        if not is_url and field.annotation is str:
            continue  # any text is allowed
        monkeypatch.setenv(name, "secret:nonsense")
        error = load_error(capsys, settings_class)
        line = next(line for line in error.splitlines() if line.startswith(f"setting {name}: "))
        assert "nonsense" not in line
        assert not is_url or "expected" in line
        monkeypatch.delenv(name)


def test_a_missing_setting_is_named_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    from bookwheel_catalog.settings import CatalogSettings  # noqa: PLC0415 - only here

    error = load_error(capsys, CatalogSettings)
    assert "setting BOOKWHEEL_REDIS_URL: Field required (URL of Redis: response cache" in error


def test_an_incomplete_pair_of_keys_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bookwheel_processor.settings import ProcessorSettings  # noqa: PLC0415 - only here

    monkeypatch.setenv("BOOKWHEEL_LAKE_ACCESS_KEY", "key")
    assert "BOOKWHEEL_LAKE_SECRET_KEY must be set together" in load_error(capsys, ProcessorSettings)
    monkeypatch.setenv("BOOKWHEEL_LAKE_SECRET_KEY", "secret")
    monkeypatch.setenv("BOOKWHEEL_LAKE_URL", "gs://bucket/lake")
    assert "BOOKWHEEL_LAKE_ACCESS_KEY is for S3" in load_error(capsys, ProcessorSettings)


@pytest.mark.usefixtures("restored_signals")
@pytest.mark.parametrize("is_file", [False, True], ids=["environment", "file"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_ends_immediately(
    program: str, is_file: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if is_file:
        (tmp_path / "BOOKWHEEL_LOG_LEVEL").write_text("loud\n")
        monkeypatch.setenv("BOOKWHEEL_SECRETS_DIR", str(tmp_path))
    else:
        monkeypatch.setenv("BOOKWHEEL_LOG_LEVEL", "loud")
    name, *arguments = program.split()
    [script] = entry_points(group="console_scripts", name=name)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as exit_info:
        script.load()()
    assert exit_info.value.code == 2
    assert "setting BOOKWHEEL_LOG_LEVEL: String should match pattern" in capsys.readouterr().err
