"""Writes the index of docs/decisions. With `--check`, reports whether it is current."""

import re
from pathlib import Path

from tools.pages import write_or_check

FOLDER = Path("docs/decisions")
INDEX = "README.md"
INTRODUCTION = """\
# Decisions

The choices that a newcomer would question: context, decision, consequences, with measured figures. A decision that
changes is marked as superseded by its successor. How the suite works is described in [design](../design). `make docs`
writes this index.

| number | decision | status |
|---|---|---|
"""
_TITLE = re.compile(r"^# (?:ADR )?0*(\d+)[.:]? (.+)$", re.MULTILINE)
_STATUS = re.compile(r"^Status: *(.+)$|^## Status\s+(.+)$", re.MULTILINE)


def row(path: Path) -> str:
    """Returns a row of the index. Raises ValueError for a missing title or status, or a wrong number in the title."""
    text = path.read_text()
    title, status = _TITLE.search(text), _STATUS.search(text)
    if title is None or status is None:
        raise ValueError(f'{path} needs a first line "# <number>. <title>" and a line "Status: …"')
    if int(title[1]) != int(path.name[:4]):
        raise ValueError(f"{path}: the number {title[1]} of the title differs from the file name")
    return f"| {path.name[:4]} | [{title[2]}]({path.name}) | {status[1] or status[2]} |"


def index(folder: Path) -> str:
    return INTRODUCTION + "".join(f"{row(path)}\n" for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]-*.md")))


def main() -> int:
    return write_or_check(FOLDER / INDEX, index(FOLDER))


if __name__ == "__main__":
    raise SystemExit(main())
