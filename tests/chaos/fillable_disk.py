"""Fills the disk of the suite's data folder: a tmpfs that shrinks to its content."""

import os
import subprocess
from pathlib import Path


class FillableDisk:
    """`is_available` is False if this process may not mount."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self._folder = folder
        self._size = f"{megabytes}m"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={self._size},mode=700", "bookwheel-chaos", str(folder)]
        self.is_available = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Shrinks the disk until only the last page has free space."""
        for _ in range(100):  # fails if a program writes meanwhile: the disk can't shrink below its content
            usage = os.statvfs(self._folder)
            if self._resize(str((usage.f_blocks - usage.f_bfree) * usage.f_frsize)):
                return
        raise OSError(f"{self._folder} could not be filled")

    def empty(self) -> None:
        if self.is_available and not self._resize(self._size):
            raise OSError(f"{self._folder} could not be enlarged")

    def unmount(self) -> None:
        if self.is_available:
            subprocess.run(["umount", str(self._folder)], check=True)

    def _resize(self, size: str) -> bool:
        command = ["mount", "-o", f"remount,size={size}", str(self._folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
