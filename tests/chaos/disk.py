"""A disk of our own that can be filled: a tmpfs over the suite's data folder, made as small as what it holds."""

import os
import subprocess
from pathlib import Path


class Disk:
    """`is_real` is False where this process may not mount: then nothing can be filled."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self._folder = folder
        self._size = f"{megabytes}m"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={self._size},mode=700", "bookwheel-chaos", str(folder)]
        self.is_real = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """From here on, nobody can write a byte more than the last page has room for."""
        for _ in range(100):  # others write at the same time, and what they write can't be cut off
            held = os.statvfs(self._folder)
            if self._resize(str((held.f_blocks - held.f_bfree) * held.f_frsize)):
                return
        raise OSError(f"{self._folder} could not be filled")

    def empty(self) -> None:
        if self.is_real and not self._resize(self._size):
            raise OSError(f"{self._folder} could not be given room again")

    def unmount(self) -> None:
        if self.is_real:
            subprocess.run(["umount", str(self._folder)], check=True)

    def _resize(self, size: str) -> bool:
        command = ["mount", "-o", f"remount,size={size}", str(self._folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
