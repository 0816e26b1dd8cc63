"""Secrets of a one-machine suite. They are generated at first use, in files that only their owner can read."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path


def write_private(path: Path, content: str) -> None:
    """Replaces the file atomically, with mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def get_or_create_password(path: Path) -> str:
    """Returns the password in the file. The first call generates it with 192 random bits."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24) + "\n")
    return path.read_text().strip()


@dataclass(frozen=True, slots=True)
class Secrets:
    """The passwords in a folder. Each password is generated when it is first read."""

    folder: Path

    @property
    def redis_password(self) -> str:
        return get_or_create_password(self.folder / "redis-password")

    @property
    def demo_password(self) -> str:
        return get_or_create_password(self.folder / "demo-password")

    @property
    def postgres_password(self) -> str:
        """The password of the suite's database role."""
        return get_or_create_password(self.folder / "postgres-password")

    @property
    def postgres_administrator_password(self) -> str:
        """The password of the superuser `postgres`. No program of the suite uses it."""
        return get_or_create_password(self.folder / "postgres-administrator-password")

    @property
    def s3_password(self) -> str:
        return get_or_create_password(self.folder / "s3-password")
