"""A wrong or missing setting stops a program at once, with the setting's name and what is expected."""

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


def kinds() -> list[type[Settings]]:
    modules = [importlib.import_module(name) for name in settings_modules(ROOT)]
    found = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    return sorted((kind for kind in found if issubclass(kind, Settings)), key=lambda kind: kind.__name__)


def settings_of(kind: type[Settings]) -> dict[str, Any]:
    return {variable(name, field): field for name, field in kind.model_fields.items()}


@pytest.fixture(autouse=True)
def nothing_else_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {name for kind in kinds() for name in settings_of(kind)}:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """A program's `main` may have SIGPIPE end its process, which here is that of all tests to come."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)


def refusal(capsys: pytest.CaptureFixture[str], kind: type[Settings]) -> str:
    with pytest.raises(SystemExit) as stopped:
        load_settings(kind)
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_setting_that_has_a_form_is_refused_in_another(
    kind: type[Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    takes_any = {"str", "Path", "Path | None", "pathlib.Path | None", "SecretStr | None"}
    for name, field in settings_of(kind).items():
        is_address = name.endswith(("_URL", "_URI", "_ENDPOINT"))
        shown = getattr(field.annotation, "__name__", str(field.annotation)).replace("pathlib._local.", "")
        if not is_address and not field.metadata and (shown in takes_any or "SecretStr" in shown or "Path" in shown):
            continue
        if not is_address and field.annotation is str:
            continue  # any text, or any that is not empty
        monkeypatch.setenv(name, "secret:nonsense")
        told = refusal(capsys, kind)
        line = next(line for line in told.splitlines() if line.startswith(f"setting {name}: "))
        assert "nonsense" not in line
        assert not is_address or "expected" in line
        monkeypatch.delenv(name)


def test_what_is_missing_is_named_with_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    from bookwheel_catalog.settings import CatalogSettings  # noqa: PLC0415 - only here

    told = refusal(capsys, CatalogSettings)
    assert "setting BOOKWHEEL_REDIS_URL: Field required (URL of Redis: response cache" in told


def test_keys_that_belong_together_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bookwheel_processor.settings import ProcessorSettings  # noqa: PLC0415 - only here

    monkeypatch.setenv("BOOKWHEEL_LAKE_ACCESS_KEY", "key")
    assert "BOOKWHEEL_LAKE_SECRET_KEY must be set together" in refusal(capsys, ProcessorSettings)
    monkeypatch.setenv("BOOKWHEEL_LAKE_SECRET_KEY", "secret")
    monkeypatch.setenv("BOOKWHEEL_LAKE_URL", "gs://bucket/lake")
    assert "BOOKWHEEL_LAKE_ACCESS_KEY is for S3" in refusal(capsys, ProcessorSettings)


@pytest.mark.usefixtures("signals_as_before")
@pytest.mark.parametrize("is_file", [False, True], ids=["environment", "file"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_stops_at_once(
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
    with pytest.raises(SystemExit) as stopped:
        script.load()()
    assert stopped.value.code == 2
    assert "setting BOOKWHEEL_LOG_LEVEL: String should match pattern" in capsys.readouterr().err
