"""Moves a state folder's data aside for the time of a restore, and back if the restore fails."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bookwheel_local.errors import LocalError
from bookwheel_local.layout import Layout

_MARKER = "restore-under-way"


def has_data(layout: Layout) -> bool:
    return any(path.is_file() for path in layout.data.rglob("*"))


def check_not_interrupted(layout: Layout) -> None:
    """Raises LocalError if a restore of this state folder was interrupted: the folder then has part of a backup."""
    if (layout.data / _MARKER).exists():
        raise LocalError(
            f"a restore of {layout.state} was interrupted. Repeat it: make restore FROM=… FORCE=1\n"
            f"The data from before it is in {layout.state}/before-restore-…"
        )


@contextmanager
def rollback_on_failure(layout: Layout) -> Iterator[Path | None]:
    """Provides empty folders for data and secrets, and restores the earlier ones if the `with` block fails.

    Yields the folder that keeps the earlier data; None if there was none.
    """
    earlier = layout.state / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}Z" if has_data(layout) else None
    if earlier is not None:
        earlier.mkdir(mode=0o700)
        for folder in (layout.data, layout.secrets):
            folder.rename(earlier / folder.name)
    else:
        _delete_folders(layout)
    layout.create_folders()
    (layout.data / _MARKER).touch()
    try:
        yield earlier
    except BaseException:
        _delete_folders(layout)
        if earlier is not None:
            for folder in (layout.data, layout.secrets):
                (earlier / folder.name).rename(folder)
            earlier.rmdir()
        raise
    (layout.data / _MARKER).unlink()


def _delete_folders(layout: Layout) -> None:
    for folder in (layout.data, layout.secrets):
        shutil.rmtree(folder, ignore_errors=True)
