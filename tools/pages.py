"""Writes generated pages (`make docs`), or compares them (`make check`)."""

import sys
from pathlib import Path


def write_or_check(path: Path, content: str) -> int:
    """Writes the page and returns 0. With the argument `--check`, returns 1 if the page is not current."""
    if "--check" not in sys.argv[1:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return 0
    if not path.exists() or path.read_text() != content:
        print(f"{path} is not current: run `make docs`", file=sys.stderr)
        return 1
    print(f"{path} is current")
    return 0
