"""A client of server-sent events that reconnects, as a browser's EventSource does."""

import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

_PAUSE_SECONDS = 0.1  # a browser uses the server's `retry`


@dataclass(frozen=True, slots=True)
class Event:
    """`data` is None for a block without data. Such a block only updates the last event id."""

    id: str
    data: str | None
    comment: bool = False


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Parses a stream by the rules of the HTML standard that the suite uses."""
    event_id = ""
    data: list[str] = []
    comment = False
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            yield Event(event_id, "\n".join(data) if data else None, comment)
            data, comment = [], False
        elif not name:
            comment = True
        elif name == "id":
            event_id = value
        elif name == "data":
            data.append(value)


@dataclass
class SseClient:
    """Listens in a thread. `changes`: the received changes. `failures`: why connections ended."""

    url: str
    headers: Mapping[str, str]
    last_id: str = ""
    changes: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._socket: socket.socket | None = None

    def __enter__(self) -> "SseClient":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)

    @property
    def sequences(self) -> list[int]:
        return [change["sequence"] for change in self.changes]

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
                reason = "ended"
            except httpx.HTTPError as error:
                reason = type(error).__name__
            if not self._stopped.is_set():
                self.failures.append(reason)
            self._stopped.wait(_PAUSE_SECONDS)

    def _listen(self) -> None:
        resume_headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        timeout = httpx.Timeout(20, connect=5)
        with httpx.stream("GET", self.url, headers={**self.headers, **resume_headers}, timeout=timeout) as response:
            if response.status_code != 200:
                raise httpx.HTTPStatusError(str(response.status_code), request=response.request, response=response)
            self.connections += 1
            self._socket = response.extensions["network_stream"].get_extra_info("socket")
            for event in read_events(response.iter_lines()):
                self.last_id = event.id or self.last_id
                if event.data is not None:
                    self.changes.append(json.loads(event.data))
                if self._stopped.is_set():
                    return


def wait_for(listener: SseClient, sequence: int, *, seconds: float = 30) -> None:
    """Waits until the listener has received the change. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while sequence not in listener.sequences[-500:]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"received up to {listener.sequences[-3:]}, {listener.failures[-5:]}")
        time.sleep(0.02)
