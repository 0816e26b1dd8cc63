"""`health`, a verb of every service: does the one on this machine get on with its work?

It is called every few seconds, so this imports next to nothing: an HTTP client takes 80 ms, the settings 400.
"""

import os
import socket
import sys
from pathlib import Path

_SECONDS = 5.0


def answers(path: str = "/readyz", *, variable: str = "BOOKWHEEL_PORT", default: int | None = None) -> int:
    """Exit status for a program that listens on a port here, which the setting `variable` tells: 0 where it answers
    `path` with 2xx; else 1, and why on standard error.
    """
    given = _setting(variable) or str(default or "")
    if not given.isdecimal() or given == "0":
        print(f"setting {variable}: a port is needed, where the program tells how it is", file=sys.stderr)
        return 1
    reason = fault(int(given), path)
    if reason is not None:
        print(reason, file=sys.stderr)
    return 0 if reason is None else 1


def fault(port: int, path: str) -> str | None:
    """Why the program that listens on a port of this machine does not answer `path` with 2xx; None where it does."""
    try:
        status, body = ask(port, path)
    except (OSError, ValueError) as error:
        return f"{path} does not answer: {error}"
    return None if 200 <= status < 300 else f"{path} answers {status}: {body[:500]}"


def ask(port: int, path: str) -> tuple[int, str]:
    """Status and body that a program on this machine answers with. Raises OSError or ValueError."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        while chunk := connection.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError("what came is no HTTP")
    return int(words[1]), body.decode(errors="replace")


def _setting(variable: str) -> str | None:
    """As `bookwheel_runtime.settings` finds it."""
    folder = os.environ.get("BOOKWHEEL_SECRETS_DIR")
    if variable in os.environ or not folder:
        return os.environ.get(variable)
    try:
        return (Path(folder) / variable).read_text().strip()
    except OSError:
        return None
