"""Checks and sets the version. The root's pyproject.toml defines it; other files repeat it.

`check` reports whether this commit can be released. `set 1.2.3` writes the version to all files and names the
CHANGELOG's unreleased section after the version.
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
_VERSION_PATTERNS = {
    "**/pyproject.toml": re.compile(r'^(version = ")([^"]+)(")$', re.MULTILINE),
    "docker-compose.yml": re.compile(r"(\$\{BOOKWHEEL_VERSION:-)([^}]+)(\})"),
    "deploy/compose/*.yml": re.compile(r"(\$\{BOOKWHEEL_VERSION:-)([^}]+)(\})"),
    "deploy/k8s/**/Chart.yaml": re.compile(r'^((?:appVersion|version): "?)([^"\s]+)("?)$', re.MULTILINE),
}
_LABELS = ("version=", "licenses=")


def release_version(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def version_patterns(root: Path) -> Iterator[tuple[Path, re.Pattern[str]]]:
    """Yields the files that repeat the version, each with the pattern that matches it."""
    for glob, pattern in _VERSION_PATTERNS.items():
        for path in sorted(root.glob(glob)):
            if not any(part.startswith(".") for part in path.relative_to(root).parts):
                yield path, pattern


def version_errors(root: Path) -> Iterator[str]:
    """Yields an error for each version that differs from the root's version."""
    version = release_version(root)
    for path, pattern in version_patterns(root):
        for match in pattern.finditer(path.read_text()):
            if match[2] != version:
                yield f"{path.relative_to(root)}: version {match[2]} differs from version {version} of pyproject.toml"


def label_errors(root: Path) -> Iterator[str]:
    """Yields an error for each missing label of an image: version or licence."""
    for path in sorted([*root.glob("deploy/images/Dockerfile*"), *root.glob("gateway/Dockerfile")]):
        text = path.read_text()
        for label in _LABELS:
            if f"org.opencontainers.image.{label}" not in text:
                yield f"{path.relative_to(root)}: the label org.opencontainers.image.{label[:-1]} is missing"
        if 'image.version="${VERSION}"' not in text:
            yield f"{path.relative_to(root)}: the version label must be the build argument VERSION"


def changelog_errors(root: Path) -> Iterator[str]:
    version, text = release_version(root), (root / CHANGELOG).read_text()
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    section = re.search(heading + r"(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None:
        yield f"{CHANGELOG}: the section '## [{version}] - year-month-day' is missing"
    elif "\n- " not in section[1]:
        yield f"{CHANGELOG}: the section of {version} is empty"


def tree_errors(root: Path) -> Iterator[str]:
    if changes := _git(root, "status", "--porcelain"):
        yield f"the working tree is not clean: {len(changes.splitlines())} files differ from the commit"
    tag = f"v{release_version(root)}"
    if (tagged_commit := _git(root, "rev-list", "-n1", "--ignore-missing", tag)) and tagged_commit != _git(
        root, "rev-parse", "HEAD"
    ):
        yield f"the tag {tag} is on another commit: raise the version"


def errors(root: Path) -> list[str]:
    checks = (version_errors, label_errors, changelog_errors, tree_errors)
    return [error for check in checks for error in check(root)]


def set_version(root: Path, version: str) -> None:
    """Sets the version in all files. Raises ValueError for an invalid version or an unsuitable CHANGELOG."""
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version} is invalid: use a version such as 1.2.3")
    changelog = root / CHANGELOG
    text = changelog.read_text()
    if f"## [{version}]" in text:
        raise ValueError(f"{CHANGELOG} has a section {version} already")
    if UNRELEASED not in text:
        raise ValueError(f"{CHANGELOG} has no section {UNRELEASED.removeprefix('## ')}")
    for path, pattern in version_patterns(root):
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
        print(
            f"{release_version(root)} has been written. Run `make install docs`, commit, and run `make release-check`."
        )
        return 0
    release_errors = errors(root)
    for release_error in release_errors:
        print(release_error, file=sys.stderr)
    if not release_errors:
        print(f"{release_version(root)} can be released: git tag v{release_version(root)}")
    return 1 if release_errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
