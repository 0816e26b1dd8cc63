"""Serves liveness, readiness and metrics of a program that has no HTTP API."""

import json
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client.registry import Collector

from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.metrics import CONTENT_TYPE_LATEST, metrics_page

logger = get_logger(__name__)

_TIMEOUT_SECONDS = 10.0


class Progress:
    """The time of a program's latest progress. Forked processes share it."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8)
        self._shared[:] = struct.pack("d", 0.0)

    def record(self) -> None:
        self._shared[:] = struct.pack("d", time.monotonic())

    def age(self) -> float | None:
        """Returns the seconds since the latest progress; None before the first."""
        (recorded_at,) = struct.unpack("d", self._shared[:])
        return time.monotonic() - recorded_at if recorded_at else None


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """Each check returns None or the reason of its failure.

    After a `liveness_error` the program must be restarted. A `readiness_error` can be an unavailable dependency.
    """

    liveness_error: Callable[[], str | None]
    readiness_error: Callable[[], str | None]


def stalled_check(progress: Progress, *, within: float) -> Callable[[], str | None]:
    """Returns a check that fails if `within` seconds pass without progress.

    Before the first progress, the time since the creation of the check counts.
    """
    created_at = time.monotonic()

    def check() -> str | None:
        age = progress.age()
        seconds = time.monotonic() - created_at if age is None else age
        return f"no progress for {seconds:.0f} s" if seconds > within else None

    return check


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - defined by the base class
        """Ignores clients that disconnect before the response."""
        if not isinstance(sys.exception(), OSError):
            logger.exception("health request failed", address=client_address)


def serve_health(
    host: str, port: int, checks: HealthChecks, collectors: Sequence[Collector] = ()
) -> ThreadingHTTPServer | None:
    """Serves `/livez`, `/readyz` and `/metrics` in a thread. Does nothing if the port is 0.

    Raises SystemExit if the port is in use.
    """
    if not port:
        return None

    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_SECONDS
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            match self.path:
                case "/metrics":
                    self._respond(200, CONTENT_TYPE_LATEST, metrics_page(*collectors))
                case "/livez":
                    self._respond_health("alive", checks.liveness_error())
                case "/readyz":
                    self._respond_health("ready", checks.readiness_error())
                case _:
                    self._respond(404, "text/plain", b"not found: use /livez, /readyz or /metrics\n")

        def _respond_health(self, state: str, failure: str | None) -> None:
            content = {"status": state} if failure is None else {"status": f"not {state}", "reason": failure}
            self._respond(200 if failure is None else 503, "application/json", json.dumps(content).encode())

        def _respond(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Does not log probes and scrapes."""

    try:
        server = _Server((host, port), Handler)
    except OSError as error:
        raise SystemExit(f"setting BOOKWHEEL_METRICS_PORT: cannot listen on {host}:{port}: {error}") from error
    # A fork may outlive this process. It must not keep the port open.
    os.register_at_fork(after_in_child=server.socket.close)
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
