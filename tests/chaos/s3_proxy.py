"""A proxy before the S3 server that fails half way, as it is told."""

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from socketserver import BaseRequestHandler, ThreadingTCPServer

_PIECE = 16_384
_ANSWER_503 = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 41\r\nConnection: close\r\n\r\n"
    b"<Error><Code>SlowDown</Code></Error>     "
)


class Mode(StrEnum):
    """CUT breaks a connection in the midst of what the client sends; MUTE lets the server have it all, and breaks
    before its answer: the client can't know what became of its request.
    """

    PASS = "pass"
    REFUSE = "refuse"
    BUSY = "busy"
    CUT = "cut"
    MUTE = "mute"


class S3Proxy:
    """`url` is what clients are told. A new mode is for requests that begin from then on, on old connections, too."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def set(self, *modes: Mode) -> None:
        """One of several modes is picked for each piece of a request."""
        self._server.modes = modes


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64
    upstream: tuple[str, int]
    modes: tuple[Mode, ...] = (Mode.PASS,)
    chance = random.Random(1588)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # broken connections are its work


class _Connection(BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        if Mode.REFUSE in self.server.modes:
            _reset(self.request)
            return
        with socket.create_connection(self.server.upstream, timeout=30) as upstream:
            upstream.settimeout(None)  # a client keeps a connection for as long as it likes
            answering = threading.Thread(target=self._answer, args=(upstream,), daemon=True)
            answering.start()
            self._ask(upstream)
            with suppress(OSError):
                upstream.shutdown(socket.SHUT_RDWR)
            answering.join(5)

    def _ask(self, upstream: socket.socket) -> None:
        while piece := self.request.recv(_PIECE):
            match self.server.chance.choice(self.server.modes):
                case Mode.BUSY:
                    self.request.sendall(_ANSWER_503)
                    return
                case Mode.REFUSE:
                    _reset(self.request)
                    return
                case Mode.CUT:
                    upstream.sendall(piece[: len(piece) // 2])
                    _reset(self.request)
                    return
                case _:
                    upstream.sendall(piece)

    def _answer(self, upstream: socket.socket) -> None:
        with suppress(OSError):
            while piece := upstream.recv(_PIECE):
                if self.server.chance.choice(self.server.modes) is Mode.MUTE:
                    _reset(self.request)
                    return
                self.request.sendall(piece)
            self.request.shutdown(socket.SHUT_RDWR)  # the server has closed: a client must not wait for more


def _reset(connection: socket.socket) -> None:
    """Closes with a reset, as a machine that dies does, rather than with an orderly end."""
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
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        try:
            yield S3Proxy(server)
        finally:
            server.shutdown()
