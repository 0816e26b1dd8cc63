"""Runs mypy on the parts of the repository.

All sources are checked in one run. Tests are checked part by part: several parts have a `tests/conftest.py`, and a
module name may occur only once in a run of mypy.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def type_check_runs(parts: Sequence[Path]) -> Iterator[list[Path]]:
    """Yields the folders of each mypy run."""
    sources = [part / "src" for part in parts if (part / "src").is_dir()]
    if sources:
        yield sources
    for part in parts:
        folder = part / "tests" if (part / "src").is_dir() else part
        if any(folder.rglob("*.py")):
            yield [folder]


def main() -> int:
    failed = 0
    for folders in type_check_runs([Path(part) for part in sys.argv[1:]]):
        print("mypy", *folders, flush=True)
        command = [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, folders)]
        failed |= subprocess.run(command, check=False).returncode
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
