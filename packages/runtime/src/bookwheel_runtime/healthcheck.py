"""The `health` command of every service: checks the program on this machine.

Containers run it every few seconds, so the imports are minimal. The import of the settings would take 400 ms.
"""

import http.client
import os
import sys
from pathlib import Path

_TIMEOUT_SECONDS = 5.0
_MAX_BODY_CHARACTERS = 500


def run_healthcheck(path: str = "/readyz", *, variable: str = "BOOKWHEEL_PORT", default: int | None = None) -> int:
    """Returns the exit status: 0 if `path` returns 2xx. Else it is 1, and the reason is written to standard error.

    `variable` is the setting that holds the program's port.
    """
    port = _setting(variable) or str(default or "")
    if not port.isdecimal() or port == "0":
        print(f"setting {variable} is missing: set it to the port of the health endpoints", file=sys.stderr)
        return 1
    failure = get_health_error(int(port), path)
    if failure is not None:
        print(failure, file=sys.stderr)
    return 0 if failure is None else 1


def get_health_error(port: int, path: str) -> str | None:
    """Returns None if `path` returns 2xx, else the reason of the failure."""
    try:
        status, body = fetch_health(port, path)
    except (OSError, http.client.HTTPException) as error:
        return f"{path} does not answer: {error}"
    return None if 200 <= status < 300 else f"{path} returned {status}: {body[:_MAX_BODY_CHARACTERS]}"


def fetch_health(port: int, path: str) -> tuple[int, str]:
    """Returns the status and body of a local program's `path`. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()


def _setting(variable: str) -> str | None:
    """Reads the environment or the secrets folder in the same way as `bookwheel_runtime.settings`."""
    folder = os.environ.get("BOOKWHEEL_SECRETS_DIR")
    if variable in os.environ or not folder:
        return os.environ.get(variable)
    try:
        return (Path(folder) / variable).read_text().strip()
    except OSError:
        return None
