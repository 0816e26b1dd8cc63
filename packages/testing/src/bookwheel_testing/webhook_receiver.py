"""Receives webhooks with configurable responses, and checks their signatures independently."""

import hashlib
import hmac
import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """A request. `received_at`: Unix seconds. `status`: of the response."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    received_at: float
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class Behaviour:
    """Responses of a path: `statuses` in order, then 200. Each has a delay of `seconds` and `body` bytes."""

    statuses: list[int] = field(default_factory=list)
    seconds: float = 0.0
    body: int = 2
    headers: dict[str, str] = field(default_factory=dict)


class WebhookReceiver:
    """Records all requests. `behaviours` by path configure the responses."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.behaviours: dict[str, Behaviour] = {}
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    def at(self, path: str) -> list[Received]:
        with self._lock:
            return [received for received in self._received if received.path == path]

    def delivered(self, path: str) -> list[Received]:
        """Returns the accepted requests, one per id, in the order of their first acceptance."""
        first_by_id: dict[str, Received] = {}
        for received in self.at(path):
            if 200 <= received.status < 300:
                first_by_id.setdefault(received.id, received)
        return list(first_by_id.values())

    def sequences(self, path: str) -> list[int]:
        """Returns the sequences of received changes without repeated deliveries."""
        events = [received.event for received in self.delivered(path)]
        catalog_events = [event for event in events if event["type"] == "catalog.changed"]
        return [change["sequence"] for event in catalog_events for change in event["data"]["changes"]]

    def answer(self, path: str) -> tuple[int, Behaviour]:
        behaviour = self.behaviours.get(path, Behaviour())
        with self._lock:
            return behaviour.statuses.pop(0) if behaviour.statuses else 200, behaviour

    def record(self, received: Received) -> None:
        with self._lock:
            self._received.append(received)


def is_signed(received: Received, secret: str) -> bool:
    """Whether the signature is valid and not older than five minutes."""
    key = b64decode(secret.partition("_")[2])
    timestamp = received.headers["webhook-timestamp"]
    signed = f"{received.id}.{timestamp}.".encode() + received.body
    expected = b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    is_fresh = abs(received.received_at - int(timestamp)) < 300
    return is_fresh and hmac.compare_digest(received.headers["webhook-signature"], f"v1,{expected}")


@contextmanager
def running_webhook_receiver() -> Iterator[WebhookReceiver]:
    """Runs a receiver on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received_at = time.time()
            status, behaviour = receiver.answer(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.stopping.wait(behaviour.seconds)
            receiver.record(Received(self.path, headers, body, received_at, status))
            try:
                self.send_response(status)
                for name, value in behaviour.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(behaviour.body))
                self.end_headers()
                for _ in range(behaviour.body // 65_536):
                    self.wfile.write(b"x" * 65_536)
                self.wfile.write(b"x" * (behaviour.body % 65_536))
            except OSError:
                self.close_connection = True

        do_GET = do_POST  # noqa: N815 - name of the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
            """Logs nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    receiver = WebhookReceiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
