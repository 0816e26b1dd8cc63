"""Metrics of a program with several processes. Call it before prometheus_client is imported."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def share_metrics(port: int) -> None:
    """Stores the metrics of this process and its forks in new files, so that each process can report the sum.

    `port` names the files: it is unique on a machine. Raises RuntimeError if prometheus_client is imported already.
    """
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prometheus_client is imported already: share_metrics must come first")
    # Not in the state folder, which replicas on several machines may share.
    folder = Path(tempfile.gettempdir()) / f"bookwheel-{os.getuid()}-counts-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a fork
        shutil.rmtree(folder, ignore_errors=True)
