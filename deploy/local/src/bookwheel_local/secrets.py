"""Secrets of a one-machine suite: made on first use, kept in files that only their owner can read."""

import os
import secrets
from pathlib import Path


def write_private(path: Path, content: str) -> None:
    """Replaces the file at once, so that a reader sees the old or the new content; mode 0600 from the start."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def password(path: Path) -> str:
    """The password in the file; the first call makes one with 192 random bits."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24) + "\n")
    return path.read_text().strip()
