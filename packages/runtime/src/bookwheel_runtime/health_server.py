"""What a program tells about itself: whether it gets on, is ready, and what it counts.

A service over HTTP tells it among its routes (`create_app`), any other program on a port of its own (`serve_health`).
"""

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

_PATIENCE = 10.0  # seconds that a client has


class Progress:
    """When a program last got on with its work: it and the processes that it forks note it, each of them knows it."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8)
        self._shared[:] = struct.pack("d", 0.0)

    def record(self) -> None:
        self._shared[:] = struct.pack("d", time.monotonic())

    def age(self) -> float | None:
        """Seconds since then, None where it has not begun."""
        (noted,) = struct.unpack("d", self._shared[:])
        return time.monotonic() - noted if noted else None


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """Each says None where all is well, else what is not.

    A program that is not `alive` has to be restarted. One that is not `ready` may only have to wait for another.
    """

    alive: Callable[[], str | None]
    ready: Callable[[], str | None]


def stalled_check(progress: Progress, *, within: float) -> Callable[[], str | None]:
    """Says what is wrong where no progress was noted for so many seconds, its beginning included."""
    began = time.monotonic()

    def judge() -> str | None:
        age = progress.age()
        silent_for = time.monotonic() - began if age is None else age
        return f"no progress for {silent_for:.0f} s" if silent_for > within else None

    return judge


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the parent's
        """Whoever asks may leave before the answer comes."""
        if not isinstance(sys.exception(), OSError):
            logger.exception("a probe or scrape failed", address=client_address)


def serve_health(
    host: str, port: int, vitals: HealthChecks, collectors: Sequence[Collector] = ()
) -> ThreadingHTTPServer | None:
    """Serves `/livez`, `/readyz` and `/metrics` from a thread; nothing where the port is 0. Raises SystemExit for a
    port that can't be had."""
    if not port:
        return None

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            match self.path:
                case "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, metrics_page(*collectors))
                case "/livez":
                    self._judged("alive", vitals.alive())
                case "/readyz":
                    self._judged("ready", vitals.ready())
                case _:
                    self._answer(404, "text/plain", b"here are /livez, /readyz and /metrics\n")

        def _judged(self, wanted: str, fault: str | None) -> None:
            told = {"status": wanted} if fault is None else {"status": f"not {wanted}", "reason": fault}
            self._answer(200 if fault is None else 503, "application/json", json.dumps(told).encode())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes and scrapes are no news."""

    try:
        server = _Server((host, port), Handler)
    except OSError as error:
        raise SystemExit(f"setting BOOKWHEEL_METRICS_PORT: {host}:{port} can't be listened on: {error}") from error
    # a fork that outlives this process must not hold the port that its successor needs
    os.register_at_fork(after_in_child=server.socket.close)
    Thread(target=server.serve_forever, name="vitals", daemon=True).start()
    return server
