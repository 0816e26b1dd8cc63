"""The version of the repository: set in the root's pyproject.toml and repeated in other files.

`check` reports whether this commit can be released. `set 1.2.3` writes the version to all files and turns the
CHANGELOG's unreleased section into that of the version.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

CHANGELOG = "CHANGELOG.md"
UNRELEASED = "## [Unreleased]"
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?")
# Each pattern's second group is the version.
_PLACES = {
    "**/pyproject.toml": re.compile(r'^(version = ")([^"]+)(")$', re.MULTILINE),
    "docker-compose.yml": re.compile(r"(\$\{BOOKWHEEL_VERSION:-)([^}]+)(\})"),
    "deploy/compose/*.yml": re.compile(r"(\$\{BOOKWHEEL_VERSION:-)([^}]+)(\})"),
    "deploy/k8s/**/Chart.yaml": re.compile(r'^((?:appVersion|version): "?)([^"\s]+)("?)$', re.MULTILINE),
}
_LABELS = ("version=", "licenses=")


def release_version(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def places(root: Path) -> Iterator[tuple[Path, re.Pattern[str]]]:
    """The files that repeat the version, with the pattern of its place."""
    for glob, pattern in _PLACES.items():
        for path in sorted(root.glob(glob)):
            if not any(part.startswith(".") for part in path.relative_to(root).parts):
                yield path, pattern


def version_faults(root: Path) -> Iterator[str]:
    """Files with another version than the root."""
    version = release_version(root)
    for path, pattern in places(root):
        for match in pattern.finditer(path.read_text()):
            if match[2] != version:
                yield f"{path.relative_to(root)}: has version {match[2]}, and pyproject.toml {version}"


def label_faults(root: Path) -> Iterator[str]:
    """Images without the labels of version and licence."""
    for path in sorted([*root.glob("deploy/images/Dockerfile*"), *root.glob("gateway/Dockerfile")]):
        text = path.read_text()
        for label in _LABELS:
            if f"org.opencontainers.image.{label}" not in text:
                yield f"{path.relative_to(root)}: has no label org.opencontainers.image.{label[:-1]}"
        if 'image.version="${VERSION}"' not in text:
            yield f"{path.relative_to(root)}: its version label is not the build argument VERSION"


def changelog_faults(root: Path) -> Iterator[str]:
    version, text = release_version(root), (root / CHANGELOG).read_text()
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    section = re.search(heading + r"(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None:
        yield f"{CHANGELOG}: has no section '## [{version}] - year-month-day'"
    elif "\n- " not in section[1]:
        yield f"{CHANGELOG}: the section of {version} is empty"


def tree_faults(root: Path) -> Iterator[str]:
    if changed := _git(root, "status", "--porcelain"):
        yield f"the tree is not clean: {len(changed.splitlines())} files differ from the commit"
    tag = f"v{release_version(root)}"
    if (tagged := _git(root, "rev-list", "-n1", "--ignore-missing", tag)) and tagged != _git(root, "rev-parse", "HEAD"):
        yield f"the tag {tag} is on another commit: raise the version"


def faults(root: Path) -> list[str]:
    checks = (version_faults, label_faults, changelog_faults, tree_faults)
    return [fault for check in checks for fault in check(root)]


def set_version(root: Path, version: str) -> None:
    """Raises ValueError for an invalid version, or one that already has a section."""
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version} is not a version such as 1.2.3")
    changelog = root / CHANGELOG
    text = changelog.read_text()
    if f"## [{version}]" in text or UNRELEASED not in text:
        raise ValueError(f"{CHANGELOG} already has a section of {version}, or has no unreleased section")
    for path, pattern in places(root):
        path.write_text(pattern.sub(rf"\g<1>{version}\g<3>", path.read_text()))
    changelog.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {datetime.now(UTC):%Y-%m-%d}", 1))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    return process.stdout.strip()


def main() -> int:
    root = Path.cwd()
    if sys.argv[1:2] == ["set"]:
        try:
            set_version(root, sys.argv[2])
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{release_version(root)} has been written; next: make install docs, commit, make release-check")
        return 0
    release_faults = faults(root)
    for fault in release_faults:
        print(fault, file=sys.stderr)
    if not release_faults:
        print(f"{release_version(root)} can be released: git tag v{release_version(root)}")
    return 1 if release_faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
