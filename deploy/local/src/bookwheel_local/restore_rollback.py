"""Moves a state folder's data aside before a restore, and back if the restore fails."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bookwheel_local.errors import LocalError
from bookwheel_local.layout import Layout

_MARKER_FILE = "restore-under-way"


def has_data(layout: Layout) -> bool:
    return any(path.is_file() for path in layout.data.rglob("*"))


def check_not_interrupted(layout: Layout) -> None:
    """Raises LocalError if a restore of this state folder was interrupted. The folder is then incomplete."""
    if (layout.data / _MARKER_FILE).exists():
        raise LocalError(
            f"a restore of {layout.state_dir} was interrupted. Repeat it with `make restore FROM=… FORCE=1`.\n"
            f"The previous data is in {layout.state_dir}/before-restore-…."
        )


@contextmanager
def rollback_on_failure(layout: Layout) -> Iterator[Path | None]:
    """Creates empty folders for data and secrets. Moves the previous folders back if the `with` block fails.

    Yields the folder of the previous data, or None if there was no data.
    """
    previous_data = (
        layout.state_dir / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}Z" if has_data(layout) else None
    )
    if previous_data is not None:
        previous_data.mkdir(mode=0o700)
        for folder in (layout.data, layout.secrets):
            folder.rename(previous_data / folder.name)
    else:
        _delete_folders(layout)
    layout.create_folders()
    (layout.data / _MARKER_FILE).touch()
    try:
        yield previous_data
    except BaseException:
        _delete_folders(layout)
        if previous_data is not None:
            for folder in (layout.data, layout.secrets):
                (previous_data / folder.name).rename(folder)
            previous_data.rmdir()
        raise
    (layout.data / _MARKER_FILE).unlink()


def _delete_folders(layout: Layout) -> None:
    for folder in (layout.data, layout.secrets):
        shutil.rmtree(folder, ignore_errors=True)
