"""A proxy to a real Elasticsearch that injects the failures of a busy cluster.

`python -m bookwheel_testing.elasticsearch_faults PORT UPSTREAM_PORT ITEMS REQUESTS SHARE` rejects ITEMS documents of
bulk requests, alternately with 429 and 503, and writes the other documents. It fails REQUESTS whole bulk requests: with
429, with 503, by closing the connection after the write, and by a delayed response. SHARE percent of documents and
requests fail until these numbers are reached. `GET /-/faults` returns the injected faults.
"""

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Any

_DELAY_SECONDS = 3.0
_ERRORS = {429: "es_rejected_execution_exception", 503: "unavailable_shards_exception"}
_HEADERS = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}
_FORWARDED_HEADERS = tuple(_HEADERS)
_REQUEST_FAULTS = (429, 503, "closed", "delayed")


class Faults:
    """Selects the faults to inject, and counts the injected faults."""

    def __init__(self, *, items: int, requests: int, share: float) -> None:
        self._items = items
        self._requests = requests
        self._random = random.Random(7)
        self._share = share
        self._request_faults: Iterator[int | str] = cycle(_REQUEST_FAULTS)
        self._lock = threading.Lock()
        self.injected: Counter[str] = Counter()

    def next_request_fault(self) -> int | str | None:
        with self._lock:
            if self._requests == 0 or self._random.random() >= self._share:
                return None
            self._requests -= 1
            fault = next(self._request_faults)
            self.injected[f"request {fault}"] += 1
            return fault

    def reject_items(self, count: int) -> dict[int, int]:
        """Returns the statuses of rejected documents by their index in the request."""
        with self._lock:
            indices = [index for index in range(count) if self._random.random() < self._share][: self._items]
            self._items -= len(indices)
            rejected = {index: 429 if index % 2 else 503 for index in indices}
            self.injected.update(f"item {status}" for status in rejected.values())
            return rejected


def _error(status: int) -> dict[str, Any]:
    return {"type": _ERRORS[status], "reason": "injected"}


class FaultyProxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: int
    faults: Faults

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/-/faults":
            self._respond(200, json.dumps(self.faults.injected).encode(), {})
        elif self.command in {"POST", "PUT"} and self.path.partition("?")[0].endswith("/_bulk"):
            self._bulk(body)
        else:
            self._respond(*self._forward(body))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - names of the base class

    def _bulk(self, body: bytes) -> None:
        fault = self.faults.next_request_fault()
        if isinstance(fault, int):
            self._respond(fault, json.dumps({"error": _error(fault), "status": fault}).encode(), {})
            return
        if fault is not None:
            self._forward(body)
            if fault == "delayed":
                time.sleep(_DELAY_SECONDS)
            self.close_connection = True
            return
        lines = body.rstrip(b"\n").split(b"\n")
        pairs = list(zip(lines[::2], lines[1::2], strict=True))
        rejected = self.faults.reject_items(len(pairs))
        sent = [line for index, pair in enumerate(pairs) if index not in rejected for line in pair]
        status, content, headers = self._forward(b"\n".join([*sent, b""])) if sent else (200, b'{"errors":false}', {})
        if status == 200 and rejected:
            response = json.loads(content)
            written = iter(response.get("items", [{"index": {"status": 200}}] * (len(pairs) - len(rejected))))
            items = [
                {"index": {"status": rejected[index], "error": _error(rejected[index])}}
                if index in rejected
                else next(written)
                for index in range(len(pairs))
            ]
            content = json.dumps({"errors": True, "items": items}).encode()
        self._respond(status, content, headers)

    def _forward(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        connection = HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        headers = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
        connection.request(self.command, self.path, body or None, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        response_headers = {name: response.headers[name] for name in _FORWARDED_HEADERS if name in response.headers}
        return response.status, content, response_headers

    def _respond(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (_HEADERS | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        """Logs nothing."""


def main() -> None:
    port, FaultyProxy.upstream, items, requests, share = map(int, sys.argv[1:6])
    FaultyProxy.faults = Faults(items=items, requests=requests, share=share / 100)
    ThreadingHTTPServer(("127.0.0.1", port), FaultyProxy).serve_forever()


if __name__ == "__main__":
    main()
