"""For a program of several processes, before it imports what counts."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def share_metrics(port: int) -> None:
    """Keeps what this process and its forks count in files, so that each of them can tell the sum.

    `port`, where it is told, tells the programs of a machine apart. The files are new: what was counted before a kill
    is gone, as with a program of one process. Raises RuntimeError where it comes too late.
    """
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prometheus_client is imported already, and chose where to count")
    # Not in the state folder: of that, replicas on several machines may share one.
    folder = Path(tempfile.gettempdir()) / f"bookwheel-{os.getuid()}-counts-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # and not one of its forks
        shutil.rmtree(folder, ignore_errors=True)
