import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bookwheel_local.settings import LocalSettings
from bookwheel_runtime.settings import Settings
from pydantic import Field

from tools.decisions import index
from tools.repository import errors, lock_errors
from tools.settings_page import page, table, variable
from tools.types import type_check_runs

ROOT = Path("pyproject.toml")
PART = Path("services/one/pyproject.toml")


def project(name: str, *dependencies: str) -> Mapping[str, Any]:
    return {"project": {"name": name, "license": "Apache-2.0", "dependencies": list(dependencies)}}


def repository(folder: Path, **files: str) -> Path:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    contents = {
        "pyproject.toml": '[project]\nname = "x"\nversion = "0"\nlicense = "Apache-2.0"\n',
        "requirements.lock": "",
    }
    for name, content in {**contents, **files}.items():
        (folder / name).write_text(content)
    return folder


def test_a_correct_repository_has_no_errors(tmp_path: Path) -> None:
    assert errors(repository(tmp_path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-" + "url = x",
        "see https://pypi." + "org/simple",
        "cp x /ro" + "ot/x",
        "a = '/ho" + "me/ann/x'",
        "cd /wo" + "rk/main",
    ],
)
def test_a_registry_host_or_a_machine_specific_path_is_reported(tmp_path: Path, line: str) -> None:
    (texts,) = errors(repository(tmp_path, **{"notes.md": f"first\n{line}\n"}))
    assert texts.startswith("notes.md:2: contains a registry host or a machine-specific path")


def test_similar_paths_are_allowed(tmp_path: Path) -> None:
    assert errors(repository(tmp_path, **{"notes.md": "a/work/b http://x/home/page framework/x ./root/x"})) == []


def test_ignored_files_are_not_checked(tmp_path: Path) -> None:
    ignored = {".gitignore": "state\n", "state": "/ro" + "ot/x"}
    assert errors(repository(tmp_path, **ignored)) == []


def test_a_project_without_the_licence_is_reported(tmp_path: Path) -> None:
    (texts,) = errors(repository(tmp_path, **{"pyproject.toml": '[project]\nname = "x"\nversion = "0"\n'}))
    assert "Apache-2.0" in texts


@pytest.mark.parametrize(
    ("root", "part", "expected"),
    [
        ("a==1.5\nb==2.0 ; sys_platform == 'x'\n", "a==1.5\nb==2.0\n", []),
        ("b==2.0\n", "b==2.0\n", ["lacks a>=1", "lacks a>=1"]),
        ("a==0.9\nb==2.0\n", "a==0.9\nb==2.0\n", ["lacks a>=1", "lacks a>=1"]),
        ("a==1.5\nb==2.0\n", "a==1.4\nb==2.0\n", ["a differs"]),
    ],
)
def test_a_lock_that_does_not_satisfy_a_project_is_reported(root: str, part: str, expected: list[str]) -> None:
    projects = {ROOT: project("suite", "one"), PART: project("one", "a>=1", "B[x]")}
    locks = {Path("requirements.lock"): root, PART.with_name("requirements.lock"): part}
    texts = list(lock_errors(projects, locks))
    assert len(texts) == len(expected)
    assert all(text in fault for text, fault in zip(expected, sorted(texts), strict=True))


class ExampleSettings(Settings):
    url: str = Field(description="Where | it\n is.")
    tracking: str = Field(default="", validation_alias="MLFLOW_TRACKING_URI", description="Models.")


def test_the_table_of_settings_has_variables_defaults_and_meanings() -> None:
    rows = table(ExampleSettings).splitlines()
    assert "| `BOOKWHEEL_URL` | required | Where \\| it is. |" in rows
    assert "| `MLFLOW_TRACKING_URI` | none | Models. |" in rows


def test_a_setting_is_read_from_its_documented_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    name = variable("demo_books", LocalSettings.model_fields["demo_books"])
    monkeypatch.setenv(name, "77")
    assert LocalSettings().demo_books == 77


def test_the_reference_contains_every_settings_class(tmp_path: Path) -> None:
    folder = tmp_path / "deploy/local/src/bookwheel_local"
    folder.mkdir(parents=True)
    (folder / "settings.py").touch()
    assert "## LocalSettings" in page(tmp_path)


def test_all_sources_are_type_checked_together_and_tests_by_part(tmp_path: Path) -> None:
    for name in ("one/src/a.py", "one/tests/test_a.py", "two/src/b.py", "gateway/render.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    parts = [tmp_path / "one", tmp_path / "two", tmp_path / "gateway"]
    assert list(type_check_runs(parts)) == [
        [tmp_path / "one/src", tmp_path / "two/src"],
        [tmp_path / "one/tests"],
        [tmp_path / "gateway"],
    ]


def test_the_index_lists_decisions_by_number(tmp_path: Path) -> None:
    (tmp_path / "0002-second.md").write_text("# 2. Second\n\n## Status\n\nreplaced by 3\n")
    (tmp_path / "0001-first.md").write_text("# 1. First\n\nStatus: accepted\n")
    rows = index(tmp_path).splitlines()[-2:]
    assert rows == [
        "| 0001 | [First](0001-first.md) | accepted |",
        "| 0002 | [Second](0002-second.md) | replaced by 3 |",
    ]


@pytest.mark.parametrize("text", ["", "# 7. Other number\n\nStatus: accepted\n", "# 1. No status\n"])
def test_a_decision_without_title_or_status_is_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / "0001-first.md").write_text(text)
    with pytest.raises(ValueError, match=r"0001-first\.md"):
        index(tmp_path)
