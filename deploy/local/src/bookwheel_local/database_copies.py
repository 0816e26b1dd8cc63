"""Copies live databases consistently, and loads the copies into empty databases."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from bookwheel_local.engines import find_postgres
from bookwheel_local.errors import LocalError


def copy_sqlite(source: Path, target: Path) -> None:
    """Copies a consistent state of the database, including its log, during writes. Raises LocalError."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=rw", uri=True, timeout=60)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
    except sqlite3.Error as error:
        raise LocalError(f"{source} can't be copied: {error}") from error


def dump_postgres(url: str, target: Path) -> None:
    """Raises LocalError."""
    _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def load_postgres(url: str, dump: Path) -> None:
    """Loads the dump into an empty database, in one transaction. Raises LocalError."""
    _run("pg_restore", url, "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(dump))


def _run(program: str, url: str, *arguments: str) -> None:
    parts = make_url(url)
    process = subprocess.run(
        [find_postgres(program), "--no-password", f"--dbname={parts.database}", *arguments],
        env={
            **os.environ,
            "PGHOST": str(parts.host),
            "PGPORT": str(parts.port or 5432),
            "PGUSER": str(parts.username),
            "PGPASSWORD": str(parts.password),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if process.returncode != 0:
        raise LocalError(f"{program} failed: {process.stdout[-2000:]}")
