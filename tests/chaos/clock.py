"""A clock of our own: a small library before every program of the suite, and a file that says how far it is wrong.

Debian's libfaketime would do the same, but its 0.9.10 breaks `time.sleep` of Python 3.11, which sleeps until a moment
of the monotonic clock.
"""

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """Of the suite's own programs; PostgreSQL and Elasticsearch get no environment of ours and keep the machine's.

    `is_real` is False where no C compiler is: then it can't be set.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._library = folder / "clock.so"
        self.set(0)
        compiler = shutil.which("cc")
        self.is_real = compiler is not None
        if compiler is not None:
            flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Werror")
            subprocess.run([compiler, *flags, "-o", self._library, _SOURCE, "-ldl"], check=True)

    def set(self, seconds: int) -> None:
        """At once, for every process; in place, since they have the file mapped."""
        with self._file.open("r+b" if self._file.exists() else "w+b") as file:
            file.write(struct.pack("=q", seconds))

    @property
    def environment(self) -> dict[str, str]:
        if not self.is_real:
            return {}
        return {"LD_PRELOAD": str(self._library), "BOOKWHEEL_CHAOS_CLOCK": str(self._file)}
