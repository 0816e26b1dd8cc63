"""The `health` command checks a program on this machine."""

import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from bookwheel_runtime.healthcheck import run_healthcheck


class HealthHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 503)
        self.end_headers()
        self.wfile.write(b"records are unavailable")

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), HealthHandler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_service_that_returns_200_is_healthy(port: int) -> None:
    assert run_healthcheck("/livez", default=port) == 0


def test_the_port_is_read_from_the_settings(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKWHEEL_SECRETS_DIR", str(tmp_path))
    (tmp_path / "BOOKWHEEL_PORT").write_text(f"{port}\n")
    assert run_healthcheck("/livez", default=9) == 0
    monkeypatch.setenv("BOOKWHEEL_METRICS_PORT", str(port))
    assert run_healthcheck("/livez", variable="BOOKWHEEL_METRICS_PORT") == 0


@pytest.mark.parametrize("setting", [None, "0", "", "many"])
def test_without_a_port_the_check_fails(
    setting: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if setting is not None:
        monkeypatch.setenv("BOOKWHEEL_METRICS_PORT", setting)
    assert run_healthcheck(variable="BOOKWHEEL_METRICS_PORT") == 1
    assert "BOOKWHEEL_METRICS_PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["bookwheel-accounts", "bookwheel-catalog", "bookwheel-ml", "bookwheel-scraper", "bookwheel-processor"]
)
def test_the_command_imports_no_large_packages(command: str) -> None:
    script = Path(sys.executable).with_name(command)
    health_command = [sys.executable, "-X", "importtime", str(script), "health"]
    result = subprocess.run(health_command, capture_output=True, text=True, check=False, env={"BOOKWHEEL_PORT": "9"})
    assert result.returncode == 1
    assert not re.search(
        r"\b(pydantic|fastapi|redis|sqlalchemy|celery|scrapy|prometheus_client)$", result.stderr, re.MULTILINE
    )


def test_a_service_that_is_not_ready_is_unhealthy_with_its_reason(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_healthcheck(default=port) == 1
    assert "503: records are unavailable" in capsys.readouterr().err


def test_a_service_that_does_not_listen_is_unhealthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_healthcheck(default=9) == 1
    assert "does not answer" in capsys.readouterr().err
