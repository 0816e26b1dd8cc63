"""A program between a client and a real Elasticsearch, which goes wrong in the ways that Elasticsearch does.

`python -m bookwheel_testing.faults PORT UPSTREAM_PORT ITEMS REQUESTS SHARE`: refuses that many documents of bulk
requests one by one (429 and 503 by turns; the others of their request are written), and that many bulk requests as a
whole: with 429, with 503, by closing the connection after they were written, and by not answering in time. SHARE, in
percent, of all documents and requests meet this until the numbers are reached. `GET /-/faults` tells what was injected.
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

_SILENCE_SECONDS = 3.0
_REFUSALS = {429: "es_rejected_execution_exception", 503: "unavailable_shards_exception"}
_OWN = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}
_SHOWN = tuple(_OWN)
_KINDS = (429, 503, "closed", "silent")


class Faults:
    """How many are still to be injected."""

    def __init__(self, *, items: int, requests: int, share: float) -> None:
        self._items = items
        self._requests = requests
        self._random = random.Random(7)
        self._share = share
        self._kinds: Iterator[int | str] = cycle(_KINDS)
        self._lock = threading.Lock()
        self.injected: Counter[str] = Counter()

    def of_request(self) -> int | str | None:
        with self._lock:
            if self._requests == 0 or self._random.random() >= self._share:
                return None
            self._requests -= 1
            kind = next(self._kinds)
            self.injected[f"request {kind}"] += 1
            return kind

    def of_items(self, count: int) -> dict[int, int]:
        """Which of so many documents are refused, and with what."""
        with self._lock:
            chosen = [place for place in range(count) if self._random.random() < self._share][: self._items]
            self._items -= len(chosen)
            refused = {place: 429 if place % 2 else 503 for place in chosen}
            self.injected.update(f"item {status}" for status in refused.values())
            return refused


def _refusal(status: int) -> dict[str, Any]:
    return {"type": _REFUSALS[status], "reason": "injected"}


class FaultyProxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: int
    faults: Faults

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/-/faults":
            self._answer(200, json.dumps(self.faults.injected).encode(), {})
        elif self.command in {"POST", "PUT"} and self.path.partition("?")[0].endswith("/_bulk"):
            self._bulk(body)
        else:
            self._answer(*self._forward(body))

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _bulk(self, body: bytes) -> None:
        kind = self.faults.of_request()
        if isinstance(kind, int):
            self._answer(kind, json.dumps({"error": _refusal(kind), "status": kind}).encode(), {})
            return
        if kind is not None:
            self._forward(body)
            if kind == "silent":
                time.sleep(_SILENCE_SECONDS)
            self.close_connection = True
            return
        lines = body.rstrip(b"\n").split(b"\n")
        pairs = list(zip(lines[::2], lines[1::2], strict=True))
        refused = self.faults.of_items(len(pairs))
        sent = [line for place, pair in enumerate(pairs) if place not in refused for line in pair]
        status, answer, headers = self._forward(b"\n".join([*sent, b""])) if sent else (200, b'{"errors":false}', {})
        if status == 200 and refused:
            found = json.loads(answer)
            answered = iter(found.get("items", [{"index": {"status": 200}}] * (len(pairs) - len(refused))))
            items = [
                {"index": {"status": refused[place], "error": _refusal(refused[place])}}
                if place in refused
                else next(answered)
                for place in range(len(pairs))
            ]
            answer = json.dumps({"errors": True, "items": items}).encode()
        self._answer(status, answer, headers)

    def _forward(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        connection = HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        kept = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
        connection.request(self.command, self.path, body or None, kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        shown = {name: answer.headers[name] for name in _SHOWN if name in answer.headers}
        return answer.status, content, shown

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (_OWN | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Quiet."""


def main() -> None:
    port, FaultyProxy.upstream, items, requests, share = map(int, sys.argv[1:6])
    FaultyProxy.faults = Faults(items=items, requests=requests, share=share / 100)
    ThreadingHTTPServer(("127.0.0.1", port), FaultyProxy).serve_forever()


if __name__ == "__main__":
    main()
