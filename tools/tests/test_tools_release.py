"""The checks of a release, and the workflow that publishes it."""

import json
import os
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tools.release import (
    changelog_errors,
    errors,
    label_errors,
    release_version,
    set_version,
    tree_errors,
    version_errors,
)

yaml = import_module("yaml")  # type stubs of PyYAML are not always installed
ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FILES = {
    "pyproject.toml": '[project]\nname = "x"\nversion = "0.1.0"\n\n[tool.other]\ntarget-version = "py311"\n',
    "services/one/pyproject.toml": '[project]\nname = "one"\nversion = "0.1.0"\n',
    "docker-compose.yml": "image: bookwheel/one:${BOOKWHEEL_VERSION:-0.1.0}\n",
    "deploy/k8s/bookwheel/Chart.yaml": 'version: 0.1.0\nappVersion: "0.1.0"\nkubeVersion: ">=1.30"\n',
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Something.\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    commit(tmp_path)
    return tmp_path


def commit(tree: Path) -> None:
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(tree), *command], check=True)


def test_setting_a_version_writes_all_files_and_allows_a_release(tree: Path) -> None:
    assert list(version_errors(tree)) == []
    assert "the section '## [0.1.0]" in next(changelog_errors(tree))
    set_version(tree, "1.2.3")
    assert release_version(tree) == "1.2.3"
    for name in FILES.keys() - {"CHANGELOG.md"}:
        assert "1.2.3" in (tree / name).read_text()
        assert "0.1.0" not in (tree / name).read_text()
    assert 'target-version = "py311"' in (tree / "pyproject.toml").read_text()
    assert re.search(r"## \[Unreleased\]\n\n## \[1\.2\.3\] - 20\d\d-\d\d-\d\d\n", (tree / "CHANGELOG.md").read_text())
    assert [error[: len("the working tree is not clean")] for error in errors(tree)] == [
        "the working tree is not clean"
    ]
    commit(tree)
    assert errors(tree) == []


def test_a_file_with_another_version_is_reported(tree: Path) -> None:
    (tree / "docker-compose.yml").write_text("image: bookwheel/one:${BOOKWHEEL_VERSION:-0.2.0}\n")
    assert list(version_errors(tree)) == [
        "docker-compose.yml: version 0.2.0 differs from version 0.1.0 of pyproject.toml"
    ]


def test_a_version_that_is_tagged_on_another_commit_is_reported(tree: Path) -> None:
    subprocess.run(["git", "-C", str(tree), "tag", "v0.1.0"], check=True)
    assert list(tree_errors(tree)) == []
    (tree / "more").touch()
    commit(tree)
    assert list(tree_errors(tree)) == ["the tag v0.1.0 is on another commit: raise the version"]


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3; rm", ""])
def test_an_invalid_version_changes_nothing(tree: Path, version: str) -> None:
    with pytest.raises(ValueError, match="is invalid: use a version"):
        set_version(tree, version)
    assert release_version(tree) == "0.1.0"


def test_all_files_of_this_repository_have_the_same_version() -> None:
    assert [*version_errors(ROOT), *label_errors(ROOT)] == []


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_pins_its_actions_and_has_few_permissions(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 120, name
        assert set(job.get("permissions", {}).items()) <= {("contents", "read"), ("packages", "write")}, name
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), "a tag can be moved, a commit not"
            assert "checkout" not in step["uses"] or step["with"]["persist-credentials"] is False
        else:
            assert "${{" not in step["run"], "scripts read external input from the environment, against injection"
            subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)
    assert WORKFLOWS


def test_the_workflow_runs_existing_targets_and_scripts() -> None:
    commands = " ".join(step.get("run", "") for step in steps(yaml.safe_load(WORKFLOWS[0].read_text())))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", commands)) <= targets
    for name in set(re.findall(r"(?:deploy|\.ci)/[\w./-]+", commands)):
        assert (ROOT / name).exists() or not (ROOT / name).parent.exists(), name


def test_the_published_chart_uses_the_registry_of_the_images(tmp_path: Path) -> None:
    [script] = [step["run"] for step in steps(yaml.safe_load(WORKFLOWS[0].read_text())) if step.get("name") == "Chart"]
    chart = tmp_path / "deploy/k8s/bookwheel"
    shutil.copytree(ROOT / "deploy/k8s/bookwheel", chart)
    helm = tmp_path / "bin/helm"
    helm.parent.mkdir()
    helm.write_text('#!/bin/sh\n[ "$1" != package ] || cp "$2/values.yaml" packaged.yaml\n')
    helm.chmod(0o755)
    environment = os.environ | {"PATH": f"{helm.parent}:{os.environ['PATH']}", "REGISTRY": "ghcr.example/team"}
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=True)
    values = yaml.safe_load((ROOT / "deploy/k8s/bookwheel/values.yaml").read_text())
    packaged_values = yaml.safe_load((tmp_path / "packaged.yaml").read_text())
    assert packaged_values.pop("image") == values.pop("image") | {"registry": "ghcr.example/team"}
    assert packaged_values == values


def test_the_custom_managers_of_renovate_match_the_scripts() -> None:
    for manager in json.loads((ROOT / "renovate.json").read_text())["customManagers"]:
        [files], [pattern] = manager["managerFilePatterns"], manager["matchStrings"]
        [path] = [
            path
            for path in (ROOT / "deploy/local").iterdir()
            if re.search(files.strip("/"), f"deploy/local/{path.name}")
        ]
        assert re.search(pattern.replace("(?<", "(?P<"), path.read_text())
