"""Tests of rendering the configuration."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1]


def _render(target: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SOURCE / "render.py"), str(target), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _nginx_test(configuration: Path) -> "subprocess.CompletedProcess[str]":
    command = ["nginx", "-t", "-q", "-e", "stderr", "-c", str(configuration)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_nginx_accepts_the_rendered_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    assert _render(folder / "nginx", "--port-base", "18080", "--run-dir", str(folder)).returncode == 0
    tested = _nginx_test(folder / "nginx" / "nginx.conf")
    assert (tested.returncode, tested.stderr) == (0, "")


def test_variables_and_defaults_match(tmp_path: Path) -> None:
    defaults = {
        line.partition("=")[0] for line in (SOURCE / "defaults.env").read_text().splitlines() if line.startswith("BOOK")
    }
    templates = [SOURCE / "nginx.conf.template", *(SOURCE / "conf.d").glob("*.conf")]
    used = set(re.findall(r"\$\{(\w+)\}", "".join(path.read_text() for path in templates)))
    assert used == defaults


def test_ports_start_at_the_port_base(tmp_path: Path) -> None:
    _render(tmp_path, "--port-base", "9000", "--run-dir", str(tmp_path))
    upstreams = (tmp_path / "conf.d" / "upstreams.conf").read_text()
    assert [f"127.0.0.1:{port} " in upstreams for port in (9001, 9002, 9003, 9006)] == [True] * 4
    assert "listen 127.0.0.1:9000 " in (tmp_path / "conf.d" / "edge.conf").read_text()


@pytest.mark.parametrize(
    "assignment",
    [
        "BOOKWHEEL_RATE_LOGIN=1r/m; } evil {",
        'BOOKWHEEL_GATEWAY_RUN_DIR=/tmp/"; x',
        "BOOKWHEEL_GATEWAY_WORKERS=1\nuser root",
        "BOOKWHEEL_GATEWAY_WORKERS=$host",
        "BOOKWHEEL_NO_SUCH_THING=1",
    ],
)
def test_invalid_value_is_rejected(tmp_path: Path, assignment: str) -> None:
    rendered = _render(tmp_path / "nginx", assignment)
    assert rendered.returncode == 1
    assert rendered.stderr.startswith("render: ")
    assert assignment.partition("=")[0] in rendered.stderr
    assert not (tmp_path / "nginx").exists()
