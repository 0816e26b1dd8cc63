"""The catalogue's service by itself, on what a processor filled, and searches for it of which no two are the same."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import jwt
from bookwheel_contracts.accounts import INTERNAL_AUDIENCE
from bookwheel_testing.servers import answers, free_port, running
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.processing import Processor
from benchmarks.scraped import scraped_books

NUMBERS = count(1000)  # more than any book's stock: a filter that leaves out none, and is in no cache
_KEY = ec.generate_private_key(ec.SECP256R1())
_COMMAND = Path(sys.prefix) / "bin" / "bookwheel-catalog"


@dataclass(frozen=True, slots=True)
class Catalog:
    url: str
    headers: dict[str, str]


@contextmanager
def running_catalog(processor: Processor) -> Iterator[Catalog]:
    with _served_key() as jwks:
        url = f"http://127.0.0.1:{free_port()}"
        environment = processor.environment | {"BOOKWHEEL_JWKS_URL": jwks, "BOOKWHEEL_PORT": url.rpartition(":")[2]}
        log = processor.folder / "catalog.log"
        ready = f"{url}/livez"
        with running([_COMMAND, "serve"], log=log, ready=lambda: answers(ready), seconds=90, environment=environment):
            yield Catalog(url, {"Authorization": f"Bearer {_token()}"})


def words() -> list[str]:
    """The longest word of each of some hundred titles."""
    titles = [str(book.payload["title"]).split() for book in scraped_books(0, 300)]
    longest = {
        max((word for word in title if word.isascii() and word.isalpha()), key=len, default="") for title in titles
    }
    return sorted(longest - {""})


@contextmanager
def _served_key() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Keys)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        public = jwt.algorithms.ECAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
        body = json.dumps({"keys": [{**public, "kid": "one", "alg": "ES256", "use": "sig"}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Quiet."""


def _token() -> str:
    now = int(time.time())
    claims = {"iss": "bookwheel", "aud": INTERNAL_AUDIENCE, "sub": "user:1", "iat": now, "exp": now + 7200}
    return jwt.encode({**claims, "scope": "catalog:read"}, _KEY, "ES256", {"kid": "one"})
