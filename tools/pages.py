"""Pages that are made from something else: written, or, for `make check`, compared with what is there."""

import sys
from pathlib import Path


def keep_current(path: Path, wanted: str) -> int:
    """Writes the page; with `--check` among the command's arguments, 1 where it is not current, and nothing written."""
    if "--check" not in sys.argv[1:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted)
        return 0
    if not path.exists() or path.read_text() != wanted:
        print(f"{path} is not current; run `make docs`", file=sys.stderr)
        return 1
    print(f"{path} is current")
    return 0
