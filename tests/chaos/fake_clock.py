"""A fake clock: every program of the suite preloads a library, which adds the offset in a file.

Debian's libfaketime 0.9.10 breaks `time.sleep` of Python 3.11, which uses the monotonic clock.
"""

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("fake_clock.c")


class FakeClock:
    """The clock of the suite's programs, except PostgreSQL and Elasticsearch.

    `is_available` is False without a C compiler.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._library = folder / "clock.so"
        self.set(0)
        compiler = shutil.which("cc")
        self.is_available = compiler is not None
        if compiler is not None:
            flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Werror")
            subprocess.run([compiler, *flags, "-o", self._library, _SOURCE, "-ldl"], check=True)

    def set(self, seconds: int) -> None:
        """Sets the offset of all processes. Writes in place, because the processes have mapped the file."""
        with self._file.open("r+b" if self._file.exists() else "w+b") as file:
            file.write(struct.pack("=q", seconds))

    @property
    def environment(self) -> dict[str, str]:
        if not self.is_available:
            return {}
        return {"LD_PRELOAD": str(self._library), "BOOKWHEEL_CHAOS_CLOCK": str(self._file)}
