"""`health` asks what listens on this machine."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from bookwheel_runtime.health import answers


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 503)
        self.end_headers()
        self.wfile.write(b"records are away")

    def log_message(self, *_: object) -> None:
        """Not to standard error."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_service_that_answers_is_healthy(port: int) -> None:
    assert answers(port, "/livez") == 0


def test_one_that_is_not_ready_is_not_and_says_why(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert answers(port) == 1
    assert "503: records are away" in capsys.readouterr().err


def test_one_that_does_not_listen_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert answers(9) == 1
    assert "does not answer" in capsys.readouterr().err
