"""A disk of our own that can be filled: a small tmpfs over the suite's data folder."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

_BALLAST = "ballast"


class Disk:
    """`is_real` is False where this process may not mount: then nothing can be filled."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "bookwheel-chaos", str(folder)]
        self.is_real = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """From here on, nobody can write a byte more."""
        with (self._folder / _BALLAST).open("wb") as ballast:
            free = os.statvfs(self._folder)
            with suppress(OSError):  # others write, too: whatever is left is taken in small steps
                os.posix_fallocate(ballast.fileno(), 0, max(1, (free.f_bavail - 1) * free.f_bsize))
            with suppress(OSError):
                while True:
                    os.write(ballast.fileno(), bytes(free.f_bsize))

    def empty(self) -> None:
        (self._folder / _BALLAST).unlink(missing_ok=True)

    def unmount(self) -> None:
        if self.is_real:
            subprocess.run(["umount", str(self._folder)], check=True)
