"""Puts what a state folder holds aside while a backup takes its place, and back where that fails."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bookwheel_local.errors import LocalError
from bookwheel_local.layout import Layout

_MARKER = "restore-under-way"


def holds_data(layout: Layout) -> bool:
    return any(path.is_file() for path in layout.data.rglob("*"))


def check_restored(layout: Layout) -> None:
    """Raises LocalError in a state folder whose restore was cut off: it holds part of a backup."""
    if (layout.data / _MARKER).exists():
        raise LocalError(
            f"a restore of {layout.state} was cut off. Repeat it: make restore FROM=… FORCE=1\n"
            f"What was there before is in {layout.state}/before-restore-…"
        )


@contextmanager
def put_aside(layout: Layout) -> Iterator[Path | None]:
    """Empty folders for data and secrets; where the `with` fails, those that were there before. Yields where these are
    kept, None where there were none.
    """
    kept = layout.state / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}Z" if holds_data(layout) else None
    if kept is not None:
        kept.mkdir(mode=0o700)
        for folder in (layout.data, layout.secrets):
            folder.rename(kept / folder.name)
    else:
        _empty(layout)
    layout.create_folders()
    (layout.data / _MARKER).touch()
    try:
        yield kept
    except BaseException:
        _empty(layout)
        if kept is not None:
            for folder in (layout.data, layout.secrets):
                (kept / folder.name).rename(folder)
            kept.rmdir()
        raise
    (layout.data / _MARKER).unlink()


def _empty(layout: Layout) -> None:
    for folder in (layout.data, layout.secrets):
        shutil.rmtree(folder, ignore_errors=True)
