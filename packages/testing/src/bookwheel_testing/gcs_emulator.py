"""Google Cloud Storage for tests: fake-gcs-server behind a proxy that completes its XML API.

`deltalake` uses the XML API. There, fake-gcs-server lacks plain uploads and `start-after` in listings. The proxy sends
uploads to the JSON API and filters listings. Multipart uploads are not supported. Conditional uploads are not atomic:
two simultaneous uploads can both succeed, so test with one writer.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import unescape

from bookwheel_local.engines import ENGINES, EngineNotInstalledError

from bookwheel_testing.servers import answers, free_port, running

_JSON_PATHS = ("/storage/", "/upload/", "/download/", "/_internal/")
_HOP_HEADERS = {"connection", "content-length", "transfer-encoding", "accept-encoding"}
_ENTRY = re.compile(rb"<Contents><Key>(.*?)</Key>.*?</Contents>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GcsStore:
    """A bucket of the emulator on loopback."""

    endpoint: str
    bucket: str


def find_gcs_emulator() -> str:
    """Returns the path of fake-gcs-server. Raises EngineNotInstalledError."""
    path = ENGINES / "fake-gcs-server" / "fake-gcs-server"
    if not path.exists():
        raise EngineNotInstalledError("fake-gcs-server", "gcs")
    return str(path)


@contextmanager
def running_gcs() -> Iterator[GcsStore]:
    """Runs the emulator without a bucket. Raises EngineNotInstalledError."""
    port, upstream_port = free_port(), free_port()
    endpoint, upstream = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{upstream_port}"
    listen = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(upstream_port)]
    public = ["-external-url", endpoint, "-public-host", f"127.0.0.1:{port}"]
    emulator = [find_gcs_emulator(), "-backend", "memory", "-log-level", "warn", *listen, *public]
    # A separate process: pyarrow closes files of GCS with the GIL held, so a thread of this process would deadlock.
    proxy = [sys.executable, "-m", __name__, str(port), str(upstream_port)]
    with TemporaryDirectory(prefix="bookwheel-gcs-") as folder, ExitStack() as servers:
        for command, url in ((emulator, upstream), (proxy, endpoint)):
            log, ready = Path(folder) / "gcs.log", partial(answers, f"{url}/_internal/healthcheck")
            servers.enter_context(running(command, log=log, ready=ready, seconds=60))
        yield GcsStore(endpoint, "")


def _handler(upstream_port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # send headers and content in one packet: else each response takes 40 ms longer

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            method, path = self.command, self.path
            if method == "PUT" and not path.startswith(_JSON_PATHS):
                method, path = "POST", _json_upload(path, self.headers.get("x-goog-if-generation-match"))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS}
            connection = HTTPConnection("127.0.0.1", upstream_port)
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                content = response.read()
            finally:
                connection.close()
            start_after = parse_qs(urlsplit(path).query).get("start-after", [""])[0]
            if start_after:
                content = _ENTRY.sub(lambda entry: entry[0] if _key(entry) > start_after else b"", content)
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP_HEADERS:
                    self.send_header(name, value)
            if response.getheader("ETag") is None:
                self.send_header("ETag", '"none"')
            is_head = self.command == "HEAD"
            self.send_header("Content-Length", (is_head and response.getheader("Content-Length")) or str(len(content)))
            self.end_headers()
            if not is_head:
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - names of the base class

    return Handler


def _json_upload(path: str, generation: str | None) -> str:
    """Returns the JSON API's path for an upload through the XML API."""
    bucket, _, name = urlsplit(path).path[1:].partition("/")
    condition = "" if generation is None else f"&ifGenerationMatch={generation}"
    return f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(unquote(name), safe='')}{condition}"


def _key(entry: re.Match[bytes]) -> str:
    return unescape(entry[1].decode())


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _handler(int(sys.argv[2]))).serve_forever()
