"""Copies of what databases hold, taken while others write to them, and put back into empty ones."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from bookwheel_local.engines import find_postgres
from bookwheel_local.errors import LocalError


def copy_sqlite(source: Path, target: Path) -> None:
    """One moment of the database, its log included; writers go on meanwhile. Raises LocalError."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=rw", uri=True, timeout=60)) as live,
            closing(sqlite3.connect(target)) as made,
        ):
            live.backup(made)
    except sqlite3.Error as error:
        raise LocalError(f"{source} can't be copied: {error}") from error


def dump_postgres(url: str, target: Path) -> None:
    """One moment of the database, as `pg_dump` sees it. Raises LocalError."""
    _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def load_postgres(url: str, dump: Path) -> None:
    """Into an empty database, all of it or nothing. Raises LocalError."""
    _run("pg_restore", url, "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(dump))


def _run(program: str, url: str, *arguments: str) -> None:
    address = make_url(url)
    done = subprocess.run(
        [find_postgres(program), "--no-password", f"--dbname={address.database}", *arguments],
        env={
            **os.environ,
            "PGHOST": str(address.host),
            "PGPORT": str(address.port or 5432),
            "PGUSER": str(address.username),
            "PGPASSWORD": str(address.password),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LocalError(f"{program} failed: {done.stdout[-2000:]}")
