"""Checks licences, locks, versions and forbidden names."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.release import version_errors

LICENCE = "Apache-2.0"
ROOT_LOCK = Path("requirements.lock")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)

# Each pattern is split, so that this file does not match it.
FORBIDDEN = re.compile(
    "|".join(
        (
            r"pypi\." + r"org",
            r"files\.python" + r"hosted",
            r"registry\.npm" + r"js",
            r"index-url" + r"\s*=",
            r"(?<![\w.])/ro" + r"ot/",
            r"(?<![\w.])/ho" + r"me/[a-z]",
            r"(?<![\w./])/wo" + r"rk/",
        )
    )
)
"""Registry hosts belong to a machine's configuration. Machine-specific paths do not work on other machines."""


def tracked_files(root: Path) -> list[Path]:
    """Returns files that Git tracks or would add. Ignored files are excluded."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [path for name in output.split("\0") if name and (path := root / name).is_file()]


def forbidden_names(files: Sequence[Path], root: Path) -> Iterator[str]:
    for path in files:
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
            match = FORBIDDEN.search(line)
            if match:
                location = f"{path.relative_to(root)}:{number}"
                yield f"{location}: contains a registry host or a machine-specific path: {match.group()}"


def licence_errors(projects: Mapping[Path, Mapping[str, Any]]) -> Iterator[str]:
    for path, project in projects.items():
        if project["project"].get("license") != LICENCE:
            yield f'{path}: [project] needs license = "{LICENCE}"'


def locked_versions(lock: str) -> dict[str, set[str]]:
    """Returns versions by package name. A universal lock may have several versions for different platforms."""
    versions: dict[str, set[str]] = {}
    for name, version in _PINNED.findall(lock):
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return versions


def _requirements(project: Mapping[str, Any]) -> Iterator[Requirement]:
    for text in project["project"].get("dependencies", []):
        yield Requirement(text)
    for group in project.get("dependency-groups", {}).values():
        for text in group:
            yield Requirement(text)


def lock_errors(projects: Mapping[Path, Mapping[str, Any]], locks: Mapping[Path, str]) -> Iterator[str]:
    """Yields requirements that the part's lock or the root's lock does not satisfy. Needs no network."""
    own_packages = {canonicalize_name(project["project"]["name"]) for project in projects.values()}
    versions = {path: locked_versions(text) for path, text in locks.items()}
    for path, project in projects.items():
        requirements = [
            requirement
            for requirement in _requirements(project)
            if canonicalize_name(requirement.name) not in own_packages
        ]
        for lock_path in {ROOT_LOCK, path.with_name("requirements.lock")} & versions.keys():
            for requirement in requirements:
                if not _satisfies(versions[lock_path], requirement):
                    yield f"{lock_path}: lacks {requirement} of {path}: run `make lock`"
    for lock_path, locked in versions.items():
        for package in locked:
            if not locked[package] <= versions[ROOT_LOCK].get(package, set()):
                yield f"{lock_path}: {package} differs from {ROOT_LOCK}: run `make lock`"


def _satisfies(locked: Mapping[str, set[str]], requirement: Requirement) -> bool:
    return any(
        requirement.specifier.contains(version) for version in locked.get(canonicalize_name(requirement.name), ())
    )


def errors(root: Path) -> list[str]:
    files = tracked_files(root)
    projects = {
        path.relative_to(root): tomllib.loads(path.read_text()) for path in files if path.name == "pyproject.toml"
    }
    locks = {path.relative_to(root): path.read_text() for path in files if path.name == "requirements.lock"}
    return [
        *licence_errors(projects),
        *lock_errors(projects, locks),
        *forbidden_names(files, root),
        *version_errors(root),
    ]


def main() -> int:
    repository_errors = errors(Path.cwd())
    for error in repository_errors:
        print(error, file=sys.stderr)
    if not repository_errors:
        print("licences, locks, names and versions are correct")
    return 1 if repository_errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
