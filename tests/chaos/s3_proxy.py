"""A proxy to the S3 server that injects failures."""

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from socketserver import BaseRequestHandler, ThreadingTCPServer

_CHUNK = 16_384
_RESPONSE_503 = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 41\r\nConnection: close\r\n\r\n"
    b"<Error><Code>SlowDown</Code></Error>     "
)


class Mode(StrEnum):
    """REFUSE rejects connections and BUSY answers 503.

    CUT breaks a connection during the request. MUTE forwards the request and breaks the connection before the response,
    so the client does not know the result.
    """

    PASS = "pass"
    REFUSE = "refuse"
    BUSY = "busy"
    CUT = "cut"
    MUTE = "mute"


class S3Proxy:
    """`url` is the proxy's URL. A new mode applies to all later requests, including existing connections."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def set(self, *modes: Mode) -> None:
        """Sets the modes. Each chunk of a request gets a random mode."""
        self._server.modes = modes


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64
    upstream: tuple[str, int]
    modes: tuple[Mode, ...] = (Mode.PASS,)
    rng = random.Random(1588)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # connections are broken on purpose


class _Connection(BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        if Mode.REFUSE in self.server.modes:
            _reset(self.request)
            return
        with socket.create_connection(self.server.upstream, timeout=30) as upstream:
            upstream.settimeout(None)  # clients keep connections open
            response_thread = threading.Thread(target=self._forward_response, args=(upstream,), daemon=True)
            response_thread.start()
            self._forward_request(upstream)
            with suppress(OSError):
                upstream.shutdown(socket.SHUT_RDWR)
            response_thread.join(5)

    def _forward_request(self, upstream: socket.socket) -> None:
        while chunk := self.request.recv(_CHUNK):
            match self.server.rng.choice(self.server.modes):
                case Mode.BUSY:
                    self.request.sendall(_RESPONSE_503)
                    return
                case Mode.REFUSE:
                    _reset(self.request)
                    return
                case Mode.CUT:
                    upstream.sendall(chunk[: len(chunk) // 2])
                    _reset(self.request)
                    return
                case _:
                    upstream.sendall(chunk)

    def _forward_response(self, upstream: socket.socket) -> None:
        with suppress(OSError):
            while chunk := upstream.recv(_CHUNK):
                if self.server.rng.choice(self.server.modes) is Mode.MUTE:
                    _reset(self.request)
                    return
                self.request.sendall(chunk)
            self.request.shutdown(socket.SHUT_RDWR)  # the server has closed the connection


def _reset(connection: socket.socket) -> None:
    """Closes with a TCP reset, like a crashed machine."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()


@contextmanager
def s3_proxy(upstream: str) -> Iterator[S3Proxy]:
    """`upstream` is the server's `http://host:port`."""
    host, _, port = upstream.removeprefix("http://").partition(":")
    with _Server(("127.0.0.1", 0), _Connection) as server:
        server.upstream = (host, int(port))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield S3Proxy(server)
        finally:
            server.shutdown()
