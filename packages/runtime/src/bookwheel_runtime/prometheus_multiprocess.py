"""Sums the metrics of all processes of a program."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def share_metrics(port: int) -> None:
    """Stores the metrics of this process and its forks in files, so that each process can report the sum.

    The name of the folder contains `port`, which is unique on a machine. Call it before prometheus_client is imported;
    later it raises RuntimeError.
    """
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prometheus_client is imported already: share_metrics must come first")
    # The state folder is unsuitable, because replicas on several machines may share it.
    folder = Path(tempfile.gettempdir()) / f"bookwheel-{os.getuid()}-counts-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a fork
        shutil.rmtree(folder, ignore_errors=True)
